"""Outputs of one network under masks of its own for every input."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ... import gates as laws

ROWS = 10_000
"""Rows per forward pass."""


def masked_outputs(
    f: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "N inputs"],
    law: laws.Law,
    masks: int,
    generator: Generator,
) -> Float[Tensor, "masks N outputs"]:
    """Return outputs under `masks` masks per input, all of them independent.

    The paper samples 200 masks for each input; masks that inputs share would make the
    tests of different inputs depend on each other.
    """
    together = max(1, ROWS // len(x))
    parts = []
    for start in range(0, masks, together):
        size = min(together, masks - start)
        rows = x.expand(size, *x.shape).flatten(0, 1)
        gates = law.sample(len(rows), generator=generator)
        parts.append(f(rows, gates).detach().unflatten(0, (size, len(x))))
    return torch.cat(parts)
