"""The networks of the paper at initialisation, and the gradients of its loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...gates import stream
from ...models import scaled_states, weights

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
