"""Zero gradients for parameters that did not run."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def with_zero_grads(x: Tensor, parameters: Iterable[Tensor], *, alias: bool = False) -> Tensor:
    """Return `x`, whose backward pass gives each parameter a gradient of zero.

    A block that does not run leaves its parameters with `grad is None`, and the optimizer
    skips them. With this function they have a zero gradient instead: weight decay and
    momentum still move them, as in the Torch code of Huang et al., and distributed training
    finds every parameter used.

    Args:
        x: what a dropped block leaves.
        parameters: the parameters of its branch; those that need no gradient are ignored.
        alias: promise that nothing changes the result in place, as `residual_step` does not.
            The result is then a view of `x`, which saves a copy.

    Returns:
        `x`, or a copy or view of it while gradients are recorded.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> w = torch.nn.Parameter(torch.ones(2))
        >>> blocks.with_zero_grads(torch.ones(3, requires_grad=True), [w]).sum().backward()
        >>> w.grad
        tensor([0., 0.])
    """
    trainable = [p for p in parameters if p.requires_grad]
    recorded = trainable and torch.is_grad_enabled()
    return _ZeroGrads.apply(x, alias, *trainable) if recorded else x


class _ZeroGrads(Function):
    @staticmethod
    def forward(x: Tensor, alias: bool, *parameters: Tensor) -> Tensor:
        # Autograd forbids in-place changes of a view returned by a custom function, and an
        # in-place ReLU after the block is common.
        return x.view_as(x) if alias else x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        # Not with save_for_backward: only shapes are needed, and saved values may not change
        # before the backward pass.
        _, ctx.alias, *ctx.parameters = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, None, *(torch.zeros_like(p) for p in ctx.parameters)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Tensor | None) -> Tensor:
        return tangent.view_as(tangent) if ctx.alias else tangent.clone()

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, alias: bool, *parameters: Tensor
    ) -> tuple[Tensor, int | None]:
        # The identity on every entry: the mapped dimension stays where it is.
        return _ZeroGrads.apply(x, alias, *parameters), in_dims[0]
