"""Many independent scaled networks, run in one call."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .._checks import fail
from .._typing import Gates
from ..blocks import Gate, lower, residual_step
from ._scaled import Activation

States = Float[Tensor, "networks N width"]


def scaled_states(
    h: States,
    weights: Tensor | Sequence[Tensor],
    scale: float | Tensor,
    gates: Gates | None = None,
    *,
    activation: Activation = torch.relu,
) -> Iterator[States]:
    """Return the hidden states h_0, ..., h_L of many networks at once.

        h_l = h_{l-1} + a d_l V_l act(h_{l-1})   or   h_{l-1} + a d_l V_l act(W_l h_{l-1})

    Differentiable in `h`, the gates and stored weights. Streamed weights are drawn again in
    the backward pass instead of being kept for it.

    Args:
        h: h_0, N samples for each network.
        weights: L layers, each (1 or 2, networks, width, width): V, or V and W; from
            `weights.draw` or `weights.Streamed`.
        scale: a, a number, or a tensor that broadcasts against `h`, to run the same weights
            under several scalings at once.
        gates: d, shape (L,), or (L, networks) for one draw per network; None is all ones.
        activation: applied entry by entry.

    Returns:
        An iterator of L + 1 tensors of the shape of `h`.

    Raises:
        InvalidArgument: lengths or shapes do not agree.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> from stochastic_depth.models import weights
        >>> layers = weights.draw(weights.gaussian(), depth=100, width=8, networks=3)
        >>> *_, last = sd.models.scaled_states(torch.ones(3, 1, 8), layers, scale=0.1)
        >>> last.shape
        torch.Size([3, 1, 8])

    References:
        Marion et al. 2022, section 1.
    """
    _check(h, weights)
    return _states(h, weights, scale, _lowered(gates, len(weights), h), activation)


def _states(
    h: Tensor,
    weights: Tensor | Sequence[Tensor],
    scale: float | Tensor,
    gates: Iterable[Gate],
    activation: Activation,
) -> Iterator[Tensor]:
    def step(h: Tensor, layer: int, gate: Gate) -> Tensor:
        return residual_step(h, lambda x: _branch(x, weights[layer], scale, activation), gate)

    recompute = torch.is_grad_enabled() and not isinstance(weights, Tensor)
    yield h
    for layer, gate in enumerate(gates):
        if recompute:
            h = checkpoint(step, h, layer, gate, use_reentrant=False, preserve_rng_state=False)
        else:
            h = step(h, layer, gate)
        yield h


def _branch(x: Tensor, matrices: Tensor, scale: float | Tensor, activation: Activation) -> Tensor:
    """Return a F(x), for V or V and W of every network."""
    outer, *inner = matrices
    hidden = activation(x @ inner[0].mT if inner else x)
    return (scale * hidden) @ outer.mT


def _lowered(gates: Gates | None, depth: int, h: Tensor) -> list[Gate]:
    if gates is None:
        return [1.0] * depth
    if len(gates) != depth:
        raise fail("gates", f"of length {depth}, one per block", len(gates))
    if gates.ndim == 2 and gates.shape[1] != len(h):
        raise fail("gates", f"of shape (L, {len(h)}), one draw per network", tuple(gates.shape))
    return lower(gates, "auto" if gates.ndim == 1 else "mask", device=h.device)


def _check(h: Tensor, weights: Tensor | Sequence[Tensor]) -> None:
    if len(weights) == 0:
        raise fail("weights", "of at least one layer", "none")
    layer = tuple(weights[0].shape)
    if h.ndim != 3 or len(layer) != 4 or layer[1:] != (len(h), h.shape[2], h.shape[2]):
        raise fail(
            "h", "of shape (networks, N, width) as the weights", f"{tuple(h.shape)} for {layer}"
        )
