"""The relative change over a plane of scalings and weights, and the frontier in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ... import theory
from ...models import depth_scale, scaled_states, weights
from ._networks import draw_ends


@dataclass(frozen=True)
class Networks:
    """Which networks are drawn for one kind of weights."""

    depth: int = 1000
    width: int = 40
    draws: int = 5
    inputs: int = 10


@torch.no_grad()
def change_by_beta(
    process: weights.WeightProcess,
    betas: Sequence[float],
    networks: Networks,
    seed: int,
    gates: Tensor | None = None,
) -> theory.RelativeChange:
    """Return the change of hidden states, shape (draws, betas, inputs).

    The weights do not depend on beta: all scalings are run on the same draws, as samples of
    one batch, so that a column of the map is one pass of matrix products.
    """
    layers = weights.draw(
        process, networks.depth, networks.width, networks=networks.draws, seed=seed
    )
    ends = draw_ends(networks.draws, networks.width, inputs=networks.inputs, seed=seed)
    scales = torch.tensor([depth_scale(beta, networks.depth) for beta in betas])
    hidden = ends.hidden.repeat(1, len(betas), 1)
    scale = scales.repeat_interleave(networks.inputs)[:, None]
    change = theory.relative_change(scaled_states(hidden, layers, scale, gates))
    shape = (networks.draws, len(betas), networks.inputs)
    return theory.RelativeChange(change.log10.view(shape), change.overflow.view(shape))


def crossing(betas: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the last beta at which a falling quantity crosses 0; None where it does not."""
    for index in reversed(range(len(betas) - 1)):
        upper, lower = values[index], values[index + 1]
        if upper >= 0 > lower:
            share = 0.0 if upper == float("inf") else lower / (lower - upper)
            return betas[index + 1] + share * (betas[index] - betas[index + 1])
    return None
