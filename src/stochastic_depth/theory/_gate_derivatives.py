"""How much the loss and the output depend on each block: derivatives in the gates."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import function
from .._errors import Unsupported
from ._gated_network import (
    Loss,
    Network,
    differentiable,
    gate_gradient,
    gate_point,
    losses_under,
    masks_per_pass,
)


def sensitivities(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, " L"]:
    """Return the derivative of the loss in every gate, by one backward pass.

        S_l = d loss(f(x; d), y) / d d_l

    To first order it is the change from removing block l, with the sign of
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
        InvalidArgument: `at` of another length, or missing where f needs it.
        Unsupported: batch statistics or randomness in f, or a loss without derivative.

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
    function("loss", loss, "a function of outputs and targets")
    gates = differentiable(gate_point(f, x, at), x)
    return gate_gradient(loss(f(x, gates), y), gates)


def leave_one_out(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, " L"]:
    """Return exactly what each block changes in the loss, by running without it.

        S_l = loss(f(x; d), y) - loss(f(x; d with d_l = 0), y)

    The L + 1 networks share forward passes; `sensitivities` is the first order, at the cost
    of one network.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples, of operations that `torch.vmap` supports.
        at: gates d, shape (L,); all ones by default.

    Returns:
        Tensor of shape (L,), in the precision of x.

    Raises:
        InvalidArgument: `at` of another length, or missing where f needs it.
        Unsupported: batch statistics or randomness in f.

    References:
        Hayou & Ayed 2021, section 5, before the approximation.
    """
    function("loss", loss, "a function of outputs and targets")
    gates = gate_point(f, x, at)
    without = gates[:, None] * (1 - torch.eye(len(gates), dtype=gates.dtype))
    # Column 0 keeps every block, column l drops the l-th.
    losses = losses_under(f, x, y, loss, torch.cat([gates[:, None], without], dim=1))
    return losses[0] - losses[1:]


def discrepancies(
    f: Network, x: Tensor, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, "L N outputs"]:
    """Return the derivative of every output in every gate: the information discrepancy.

        zeta_l = d f(x; d) / d d_l  ~  f(x; d) - f(x; d with d_l = 0)

    for all blocks and samples, in one backward pass per output, which run together: every
    sample has its own gates, so one pass separates them.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        at: gates at which to differentiate, shape (L,); all ones by default.

    Returns:
        Tensor of shape (L, N, outputs); outputs of several dimensions are flattened.

    Raises:
        InvalidArgument: `at` of another length, or missing where f needs it.
        Unsupported: batch statistics or randomness in f, or outputs without derivative.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=20, width=32, inputs=8, outputs=3)
        >>> sd.theory.discrepancies(model, torch.randn(5, 8)).shape
        torch.Size([20, 5, 3])

    References:
        Hayou & Ayed 2021, section 4.1; under a = 1/sqrt(L) their zeta_l is sqrt(L) times
        this one.
    """
    # With shared gates a backward pass would give the sum over samples.
    shared = gate_point(f, x, at)
    gates = differentiable(shared[:, None].expand(-1, len(x)), x)
    outputs = f(x, gates).flatten(1)
    if not outputs.requires_grad:
        raise Unsupported("f(x, gates) must depend on the gates; got an output without a graph.")
    columns = torch.eye(outputs.shape[1], dtype=outputs.dtype, device=x.device)
    chunks = columns.split(masks_per_pass(x))
    return torch.cat([_backward(outputs, gates, chunk) for chunk in chunks]).permute(1, 2, 0)


def _backward(outputs: Tensor, gates: Tensor, columns: Tensor) -> Float[Tensor, "columns L N"]:
    """Pull all output columns back to the gates at once, and keep the graph."""
    directions = columns[:, None].expand(-1, *outputs.shape)
    return torch.autograd.grad(
        outputs,
        gates,
        directions,
        is_grads_batched=True,
        retain_graph=True,
        materialize_grads=True,
    )[0]
