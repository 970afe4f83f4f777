"""The gates of every step: how they are set, which blocks ran, and the depth and cost of that."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import CheckpointError
from .._files import atomic_write
from .._typing import Gates, Probabilities
from ..gates import draw, stream
from ..surgery import Handle
from ._prepare import Prepared, sensing_batches
from ._sense import SenseSchedule
from .data import Batches, Examples, even


class Depth(NamedTuple):
    """Blocks that run, and the share of the network's cost that they are."""

    blocks: float
    cost: float


class DepthRecord:
    """Which blocks ran in each step of a run.

    Args:
        num_steps: length of training.
        costs: cost of each block, in any unit.
        network_share: cost of all blocks, as a share of the network's.
        survival: step -> survival probabilities (L,).
        in_part: whether gates differ within a batch; a block then runs for a share of it.
    """

    def __init__(
        self,
        num_steps: int,
        costs: Sequence[float],
        network_share: float,
        survival: Callable[[int], Probabilities],
        *,
        in_part: bool = False,
    ) -> None:
        # Without a draw, at constant depth, every block runs.
        self.active = np.ones((num_steps, len(costs)), np.float16 if in_part else np.uint8)
        self.costs = np.asarray(costs, dtype=np.float64)
        self.network_share = network_share
        self.survival = survival

    def add(self, step: int, shares: Float[Tensor, " L"]) -> None:
        """Note for what share of the batch each block ran in one step."""
        self.active[step] = shares

    def expected(self, steps: range) -> Depth:
        """Return the mean over steps of what the probabilities say."""
        return self._depth(torch.stack([self.survival(step) for step in steps]).numpy())

    def realised(self, steps: range) -> Depth:
        """Return the mean over steps of what the gates said."""
        return self._depth(self.active[steps.start : steps.stop])

    def _depth(self, shares: np.ndarray) -> Depth:
        share = shares.mean(0, dtype=np.float64)
        saved = (1 - share) @ self.costs / self.costs.sum() if len(share) else 0.0
        return Depth(float(share.sum()), float(1 - self.network_share * saved))

    def write(self, path: Path, num_steps: int) -> None:
        """Write the first `num_steps` rows to `path`."""
        with atomic_write(path) as file:
            np.save(file, self.active[:num_steps], allow_pickle=False)

    def read(self, path: Path, num_steps: int) -> None:
        """Take the first `num_steps` rows from `path`, written before a resumption.

        Raises:
            CheckpointError: the file is missing, damaged or too short.
        """
        try:
            rows = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(path, num_steps, str(error)) from error
        if len(rows) < num_steps or rows.shape[1:] != self.active.shape[1:]:
            raise _unreadable(path, num_steps, f"its shape is {rows.shape}")
        self.active[:num_steps] = rows[:num_steps]


def _unreadable(path: Path, num_steps: int, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} must hold the gates of the {num_steps} steps before the checkpoint; {why}. "
        "Train in another directory."
    )


class StepGates:
    """The gates of a step in all its parts: those of every process, and of every forward pass.

    The gates of other processes are drawn again from their streams: nobody has to send them.

    At constant depth there is nothing to set, and every block runs.

    Args:
        prepared: the run.
        batches: to train on, this process's share.
    """

    def __init__(self, prepared: Prepared, batches: Batches) -> None:
        config = prepared.config
        self.prepared = prepared
        self.batches = batches
        self.sense = _sense_schedule(prepared, batches.examples)
        self.handle = prepared.handle
        self.curriculum = prepared.curriculum if prepared.handle else None
        self.depth = config.depth
        self.parts = config.accumulate
        self.fresh = config.accumulated_gates == "new"
        self.first = 0  # number of the first draw of the step
        self.drawn: list[Gates] = []  # the gates of each forward pass of the step

    @property
    def in_part(self) -> bool:
        """Whether gates differ within a batch; a block then runs for a share of it."""
        differ = self.fresh and self.parts > 1
        return self.depth.per != "batch" or self.depth.independent or differ

    def survival(self, step: int) -> Probabilities:
        """Return the probabilities in force at a step that has begun."""
        if self.sense is not None:
            return self.sense.survival(step)
        if self.curriculum is None:
            return self.prepared.survival
        return self.curriculum(step / self.prepared.num_steps)

    def move(self, step: int) -> None:
        """Bring the probabilities to where they are after `step` steps."""
        if self.handle is not None and self.depth.curriculum != "constant":
            self.handle.survival = self.survival(step)

    def begin(self, step: int) -> None:
        """Get ready for the forward passes of a step."""
        if self.sense is not None:
            self.sense.refit(step)
        self.move(step)
        self.first = step * (self.parts if self.fresh else 1)
        self.drawn = []

    def begin_part(self, part: int) -> None:
        """Choose the draw of the next forward pass."""
        if self.handle is not None:
            self.handle.step = self.first + (part if self.fresh else 0)

    def end_part(self) -> None:
        """Note the draw of the last forward pass."""
        if self.handle is not None and self.handle.gates is not None:
            self.drawn.append(self.handle.gates)

    def shares(self, index: int) -> Float[Tensor, " L"] | None:
        """Return for what share of the images of batch `index` each block ran in this step."""
        if self.handle is None:
            return None
        sizes = self.batches.sizes(index)
        parts = min(self.parts, sizes[-1])
        alike = len(sizes) == 1 or (self.depth.per == "batch" and not self.depth.independent)
        own = zip(self.drawn, even(sizes[self.batches.rank], parts), strict=True)
        total, shares = 0, torch.zeros(len(self.handle.blocks))
        for gates, number in own if alike else self._everywhere(self.handle, sizes, parts):
            active = (gates != 0).float()
            shares += number * (active if active.ndim == 1 else active.mean(1))
            total += number
        return shares / total

    def _everywhere(
        self, handle: Handle, sizes: list[int], parts: int
    ) -> Iterator[tuple[Gates, int]]:
        """Yield the gates of every pass of every process, and how many images saw them."""
        for rank, size in enumerate(sizes):
            for part, number in enumerate(even(size, parts)):
                step = self.first + (part if self.fresh else 0)
                generator = stream(handle.seed, step, rank if self.depth.independent else None)
                yield draw(handle.law, self.depth.per, number, generator=generator), number


def _sense_schedule(prepared: Prepared, train: Examples) -> SenseSchedule | None:
    """Return what refits the schedule to sensitivities, where that is asked for."""
    config, depth = prepared.config, prepared.config.depth
    if prepared.handle is None or depth.interval is None or depth.budget is None:
        return None
    batches = lambda step: sensing_batches(train, config, step)  # noqa: E731
    minimum = depth.minimum or 0.0
    return SenseSchedule(prepared.handle, batches, depth.budget, depth.interval, minimum=minimum)
