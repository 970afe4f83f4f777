"""Many gate vectors in one forward pass: masks go into the batch dimension."""

import torch
from jaxtyping import Float
from torch import Tensor

from ._network import Loss, Network

ELEMENTS = 2**22
"""Largest input that one forward pass is given, in numbers; activations are as many rows."""


def masks_per_pass(x: Tensor) -> int:
    """Return how many copies of the batch fit into one forward pass."""
    return max(1, ELEMENTS // x.numel())


@torch.no_grad()
def outputs_under(
    f: Network, x: Tensor, gates: Float[Tensor, "L M"]
) -> Float[Tensor, "M N *outputs"]:
    """Return the outputs of all samples under each of M gate vectors."""
    chunks = gates.split(masks_per_pass(x), dim=1)
    return torch.cat([_in_one_pass(f, x, chunk) for chunk in chunks])


def losses_under(
    f: Network, x: Tensor, y: Tensor, loss: Loss, gates: Float[Tensor, "L M"]
) -> Float[Tensor, " M"]:
    """Return the loss of the batch under each of M gate vectors."""
    outputs = outputs_under(f, x, gates)
    return torch.vmap(loss, in_dims=(0, None))(outputs, y)


def _in_one_pass(f: Network, x: Tensor, gates: Tensor) -> Tensor:
    masks, samples = gates.shape[1], len(x)
    rows = x.expand(masks, *x.shape).flatten(0, 1)
    return f(rows, gates.repeat_interleave(samples, dim=1)).unflatten(0, (masks, samples))
