"""Gradients inside the network: at the hidden states, and at the input."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._errors import InvalidArgument
from .._typing import Gates
from ._network import Loss, Network

States: TypeAlias = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""states(x, gates): the hidden states y_0, ..., y_L in order, and last the output."""


def hidden_states(f: Network, layers: Sequence[nn.Module]) -> States:
    """Return f with its hidden states: the outputs of `layers`, followed by its output.

    Args:
        f: f(x, gates), which runs every layer once.
        layers: modules whose outputs are y_0, ..., y_L, in this order.

    Raises:
        InvalidArgument: when called, if a layer did not run, or ran twice.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> f = sd.models.VanillaResNet(depth=4, width=16, inputs=3, outputs=2)
        >>> states = sd.theory.hidden_states(f, [f.encoder, *f.blocks])
        >>> [tuple(y.shape) for y in states(torch.randn(5, 3), torch.ones(4))]
        [(5, 16), (5, 16), (5, 16), (5, 16), (5, 16), (5, 2)]
    """

    def states(x: Tensor, gates: Tensor) -> list[Tensor]:
        seen: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
            for layer in layers
        ]
        try:
            output = f(x, gates)
        finally:
            for hook in hooks:
                hook.remove()
        if len(seen) != len(layers):
            raise InvalidArgument(
                f"layers must each run once in f; {len(layers)} layers ran {len(seen)} times."
            )
        return [*seen, output]

    return states


def gradient_norms(
    states: States, x: Tensor, y: Tensor, loss: Loss, gates: Gates
) -> Float[Tensor, "L+1 N"]:
    """Return the squared norm of the loss gradient at every hidden state, per sample.

    Args:
        states: states(x, gates), see `hidden_states`.
        x: input, N samples.
        y: targets.
        loss: scalar; samples must not meet in it other than in a sum or a mean.
        gates: one draw, shape (L,) or (L, N).

    Returns:
        Tensor of shape (L+1, N): row l is ||grad_{y_l} loss||^2.
    """
    *hidden, output = states(x, gates)
    gradients = torch.autograd.grad(loss(output, y), hidden)
    return torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])


def loss_gradient(f: Network, y: Tensor, loss: Loss) -> Network:
    """Return the gradient of each sample's loss in its input, as a network of its own.

    What the theory says of outputs it then says of gradients: `noise`, `discrepancies`
    and `normality` apply to it as to any f(x, gates).

    Args:
        f: f(x, gates).
        y: targets of the batch; an x that repeats the batch gets repeated targets.
        loss: scalar mean over samples.

    Returns:
        A callable of x and gates with outputs of the shape of x.
    """

    def gradient(x: Tensor, gates: Tensor) -> Tensor:
        copies = -(-len(x) // len(y))
        targets = y.repeat(copies, *[1] * (y.ndim - 1))[: len(x)]
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            total = loss(f(leaf, gates), targets) * len(x)
            return torch.autograd.grad(total, leaf, create_graph=gates.requires_grad)[0]

    return gradient
