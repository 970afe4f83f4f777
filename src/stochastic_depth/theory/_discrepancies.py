"""How much the output depends on each block."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import Unsupported
from ._masks import masks_per_pass
from ._network import Network, differentiable, gate_point


def discrepancies(
    f: Network, x: Tensor, at: Tensor | Iterable[float] | None = None
) -> Float[Tensor, "L N outputs"]:
    """Return the derivative of every output in every gate: the information discrepancy.

        zeta_l = d f(x; d) / d d_l  ~  f(x; d) - f(x; d with d_l = 0)

    for all blocks and samples in as many backward passes as there are outputs, which run
    together: every sample has gates of its own, so that one pass separates them.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        at: gates at which to differentiate, shape (L,); all ones by default.

    Returns:
        Tensor of shape (L, N, outputs); outputs of several dimensions are flattened.

    Raises:
        InvalidArgument: `at` of another length, or needed and not given.
        Unsupported: batch statistics or chance in f, or outputs without derivative.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=20, width=32, inputs=8, outputs=3)
        >>> sd.theory.discrepancies(model, torch.randn(5, 8)).shape
        torch.Size([20, 5, 3])

    References:
        Hayou & Ayed 2021, section 4.1; under a = 1/sqrt(L) their zeta_l is sqrt(L) times
        this one.
    """
    shared = gate_point(f, x, at)
    gates = differentiable(shared[:, None].expand(-1, len(x)), x)
    outputs = f(x, gates).flatten(1)
    if not outputs.requires_grad:
        raise Unsupported("f(x, gates) must depend on the gates; got an output without a graph.")
    columns = torch.eye(outputs.shape[1], dtype=outputs.dtype, device=x.device)
    chunks = columns.split(masks_per_pass(x))
    return torch.cat([_backward(outputs, gates, chunk) for chunk in chunks]).permute(1, 2, 0)


def _backward(outputs: Tensor, gates: Tensor, columns: Tensor) -> Float[Tensor, "columns L N"]:
    """Pull output columns back to the gates, all at once; the graph is kept."""
    directions = columns[:, None].expand(-1, *outputs.shape)
    return torch.autograd.grad(
        outputs,
        gates,
        directions,
        is_grads_batched=True,
        retain_graph=True,
        materialize_grads=True,
    )[0]
