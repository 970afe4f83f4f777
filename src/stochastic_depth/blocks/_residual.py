"""The residual step."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

from ._gate import Gate, Rows, masked, per_sample
from ._gather import replace_rows, take_rows

Map = Callable[[Tensor], Tensor]


def residual_step(
    x: Float[Tensor, "N *rest"],
    branch: Map,
    gate: Gate = 1.0,
    *,
    shortcut: Map | None = None,
    activation: Map | None = None,
    scale: float = 1.0,
    activated: bool = False,
    alias: bool = False,
) -> Float[Tensor, "N *out"]:
    """Return `act(s(x) + a d F(x))`, executed as the type of the gate says.

    A dropped branch contributes exactly nothing in every execution, even NaN or infinity:
    under `float` and `Rows` it does not run, under `Tensor` its non-finite values become 0
    in the output and in the gradient of x. (A mask cannot reach the gradient of the
    branch's own parameters, which may then be NaN.)

    Args:
        x: input, N samples.
        branch: F; it must not change its input.
        gate: d; see the table in `blocks`.
        shortcut: s; None is the identity.
        activation: applied to the sum; None is the identity.
        scale: a, the depth scaling.
        activated: promise that `activation(shortcut(x))` equals `shortcut(x)`, as in a
            network of ReLUs whose stream is non-negative. Samples that drop the branch
            then skip the activation as well.
        alias: promise that nothing changes the output in place. A dropped block then
            returns `shortcut(x)` itself and saves a copy, 2 to 5 % of a step of a ResNet-110.

    Returns:
        The output of the block; it shares no memory with x unless `alias` allows it.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> blocks.residual_step(x, torch.neg, 0.0)
        tensor([[1.],
                [2.]])
        >>> blocks.residual_step(x, torch.neg, blocks.Rows(torch.tensor([1]), 2.0))
        tensor([[ 1.],
                [-2.]])

    References:
        Huang et al. 2016, equation 2.
    """
    if isinstance(gate, Rows):
        return _gathered(x, branch, gate, shortcut, activation, scale, activated)
    base = x if shortcut is None else shortcut(x)
    if isinstance(gate, Tensor):
        total = base + _masked(x, branch, gate, scale)
    elif gate == 0:
        activation = None if activated else activation
        # The output would be x itself, and a later change in place would reach x.
        total = base if alias and activation is None else base.clone()
    else:
        total = torch.add(base, branch(x), alpha=scale * gate)
    return total if activation is None else activation(total)


class Residual(nn.Module):
    """A block `y = act(s(x) + a d F(x))`; see `residual_step`.

    Args:
        branch: F; it must not change its input.
        shortcut: s; None is the identity.
        activation: applied to the sum; None is the identity.
        scale: a, the depth scaling, such as 1/sqrt(L).
        activated: promise that the activation does not change the shortcut's output.
        alias: promise that nothing changes the block's output in place.

    Shapes:
        x: (N, ...); the output has the shape of `branch(x)` and of `shortcut(x)`.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> block = blocks.Residual(torch.nn.Linear(4, 4))
        >>> x = torch.randn(2, 4)
        >>> torch.equal(block(x, gate=0.0), x)
        True
    """

    def __init__(
        self,
        branch: nn.Module,
        *,
        shortcut: nn.Module | None = None,
        activation: nn.Module | None = None,
        scale: float = 1.0,
        activated: bool = False,
        alias: bool = False,
    ) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = activation
        self.scale = scale
        self.activated = activated
        self.alias = alias

    def forward(self, x: Tensor, gate: Gate = 1.0) -> Tensor:
        """Run the block under `gate`."""
        return residual_step(
            x,
            self.branch,
            gate,
            shortcut=self.shortcut,
            activation=self.activation,
            scale=self.scale,
            activated=self.activated,
            alias=self.alias,
        )

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}" if self.scale != 1 else ""


def _gathered(
    x: Tensor,
    branch: Map,
    gate: Rows,
    shortcut: Map | None,
    activation: Map | None,
    scale: float,
    activated: bool,
) -> Tensor:
    # A promised activation is needed only by the rows whose branch ran.
    inner = activation if activated else None
    outer = None if activated else activation

    def run(base_rows: Tensor) -> Tensor:
        # Without a shortcut the base is x, and its rows are gathered already.
        rows = base_rows if shortcut is None else take_rows(x, gate.index)
        total = gate.add_scaled(base_rows, branch(rows), scale)
        return total if inner is None else inner(total)

    merged = replace_rows(x if shortcut is None else shortcut(x), gate.index, run)
    return merged if outer is None else outer(merged)


def _masked(x: Tensor, branch: Map, gate: Tensor, scale: float) -> Tensor:
    return scale * masked(gate, branch(shield_gradient(x, per_sample(gate, x) != 0)))


def shield_gradient(x: Tensor, keep: Tensor) -> Tensor:
    """Return `x`; where `keep` is False, non-finite entries of its gradient become 0.

    Args:
        x: shape (N, ...).
        keep: which samples run, bool, of a shape that broadcasts with `x`.
    """
    if torch.compiler.is_compiling():  # it knows neither our functions nor second derivatives
        return torch.where(keep, x, x.detach())
    return _ShieldGradient.apply(x, keep)


class _ShieldGradient(Function):
    """The identity; non-finite gradients of dropped samples become 0.

    Their finite gradients are zeros that still depend on the gate: second derivatives need
    them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, keep: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (keep,) = ctx.saved_tensors
        return torch.where(keep | grad.isfinite(), grad, 0), None

    @staticmethod
    def jvp(ctx, tangent: Tensor, _keep: None) -> Tensor:  # type: ignore[no-untyped-def]
        return tangent.view_as(tangent)
