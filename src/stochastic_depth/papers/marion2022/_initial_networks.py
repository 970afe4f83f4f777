"""The networks of the paper at initialisation: their states, gradients and relative changes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ... import theory
from ...gates import stream
from ...models import depth_scale, scaled_states, weights

INPUTS = 64
"""Length of an input; its entries are uniform on [0, 1], as is the target."""

# Streams are numbered so that the weights (0, ..., L - 1) and what surrounds them differ.
SURROUNDINGS = 1 << 40


@dataclass(frozen=True)
class Ends:
    """What surrounds the blocks of M networks: h_0 = A x, and the loss ||B h_L - y||^2.

    Attributes:
        hidden: h_0 for N inputs, shape (M, N, width).
        readout: B, shape (M, 1, width).
        target: y, shape (M, N, 1).
    """

    hidden: Tensor
    readout: Tensor
    target: Tensor

    def repeated(self, times: int) -> "Ends":
        """Return the same networks with each input `times` times."""
        hidden, target = (x.repeat_interleave(times, dim=1) for x in (self.hidden, self.target))
        return Ends(hidden, self.readout, target)


def draw_ends(networks: int, width: int, *, inputs: int = 1, seed: int) -> Ends:
    """Draw A and B as the weights of the blocks, uniform with variance 1/(fan in)."""
    generator = stream(seed, SURROUNDINGS)
    x = torch.rand(networks, inputs, INPUTS, generator=generator)
    process = weights.uniform()
    encoder = process.sample(1, (networks, width, INPUTS), generator=generator)[0]
    readout = process.sample(1, (networks, 1, width), generator=generator)[0]
    target = torch.rand(networks, inputs, 1, generator=generator)
    hidden = x @ encoder.mT / math.sqrt(INPUTS)
    return Ends(hidden, readout / math.sqrt(width), target)


def states_and_gradients(
    ends: Ends,
    layers: Tensor | Sequence[Tensor],
    scale: float | Tensor,
    gates: Tensor | None = None,
) -> tuple[list[Tensor], Iterator[Tensor]]:
    """Return h_0..h_L and the gradients of the loss in them, from p_L to p_0."""
    hidden = ends.hidden.clone().requires_grad_()
    states = list(scaled_states(hidden, layers, scale, gates))
    loss = (states[-1] @ ends.readout.mT - ends.target).square().sum()
    return states, reversed(torch.autograd.grad(loss, states))


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
