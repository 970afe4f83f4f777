"""How much the loss depends on each block."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from ._masks import losses_under
from ._network import Loss, Network, differentiable, gate_gradient, gate_point


def sensitivities(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, " L"]:
    """Return the derivative of the loss in every gate, by one backward pass.

        S_l = d loss(f(x; d), y) / d d_l

    To first order it is what removing block l would change, with the sign of
    `loss(d) - loss(d without l)`: negative for a block that helps.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples.
        at: gates at which to differentiate, shape (L,); all ones by default.

    Returns:
        Tensor of shape (L,), in the precision of x.

    Raises:
        InvalidArgument: `at` of another length, or needed and not given.
        Unsupported: batch statistics or chance in f, or a loss without derivative.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> def f(x, gates):
        ...     return x + gates[0] * x + gates[1] * x**2
        >>> x, y = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
        >>> sd.theory.sensitivities(f, x, y, lambda o, y: (o - y).mean(), at=[1.0, 1.0])
        tensor([2., 5.])

    References:
        Hayou & Ayed 2021, section 5. Under a = 1/sqrt(L) they write the same number as
        <z_l, grad_{y_l} loss> / sqrt(L).
    """
    gates = differentiable(gate_point(f, x, at), x)
    return gate_gradient(loss(f(x, gates), y), gates)


def leave_one_out(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, " L"]:
    """Return what each block changes in the loss, exactly, by running without it.

        S_l = loss(f(x; d), y) - loss(f(x; d with d_l = 0), y)

    The L + 1 networks share forward passes; `sensitivities` is its first order, at the
    cost of one.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples, of operations that `torch.vmap` knows.
        at: gates d, shape (L,); all ones by default.

    Returns:
        Tensor of shape (L,), in the precision of x.

    Raises:
        InvalidArgument: `at` of another length, or needed and not given.
        Unsupported: batch statistics or chance in f.

    References:
        Hayou & Ayed 2021, section 5, before the approximation.
    """
    gates = gate_point(f, x, at)
    without = gates[:, None] * (1 - torch.eye(len(gates), dtype=gates.dtype))
    losses = losses_under(f, x, y, loss, torch.cat([gates[:, None], without], dim=1))
    return losses[0] - losses[1:]
