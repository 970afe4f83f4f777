"""The gates of a step in all its parts: those of every process, and of every forward pass."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ..._typing import Gates
from ...gates import Per, draw, stream
from ..data import even
from ._stochastic_depth import StochasticDepth


class StepGates:
    """For what share of the images of a step each block ran.

    The gates of other processes are drawn again from their streams: nobody has to send them.

    Args:
        callback: sets the gates of this process.
        per: what shares a draw.
        sizes: batch -> how many of its images each process has.
        rank: number of this process.
        independent: whether each process draws gates of its own.
    """

    def __init__(
        self,
        callback: StochasticDepth,
        per: Per,
        sizes: Callable[[int], list[int]],
        rank: int,
        *,
        independent: bool,
    ) -> None:
        self.callback = callback
        self.per = per
        self.sizes = sizes
        self.rank = rank
        self.independent = independent

    def shares(self, batch: int) -> Float[Tensor, " L"]:
        """Return the shares of batch `batch` of an epoch, as far as it has been run."""
        sizes = self.sizes(batch)
        alike = len(sizes) == 1 or (self.per == "batch" and not self.independent)
        parts = min(self.callback.passes, sizes[-1])
        seen = self._own(sizes[self.rank], parts) if alike else self._all(sizes, parts)
        total, shares = 0, torch.zeros(len(self.callback.handle.blocks))
        for gates, number in seen:
            active = (gates != 0).float()
            shares += number * (active if active.ndim == 1 else active.mean(1))
            total += number
        return shares / total

    def _own(self, size: int, parts: int) -> Iterator[tuple[Gates, int]]:
        drawn = self.callback.drawn
        return zip(drawn, even(size, parts), strict=False)

    def _all(self, sizes: list[int], parts: int) -> Iterator[tuple[Gates, int]]:
        """Yield the gates of every pass so far in every process, and how many images saw them."""
        callback, handle = self.callback, self.callback.handle
        for rank, size in enumerate(sizes):
            for index, number in enumerate(even(size, parts)[: len(callback.drawn)]):
                step = callback.first + (index if callback.fresh else 0)
                generator = stream(handle.seed, step, rank if self.independent else None)
                yield draw(callback.law, self.per, number, generator=generator), number
