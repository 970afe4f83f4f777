"""The gates of every step, and the depth and cost they amount to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import CheckpointError
from .._files import atomic_write
from .._typing import Probabilities


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

    def expected(self, start: int, stop: int) -> Depth:
        """Return the mean over steps start..stop-1 of what the probabilities say."""
        return self._depth(torch.stack([self.survival(t) for t in range(start, stop)]).numpy())

    def realised(self, start: int, stop: int) -> Depth:
        """Return the mean over steps start..stop-1 of what the gates said."""
        return self._depth(self.active[start:stop])

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
