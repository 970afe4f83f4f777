"""Schedules given by a table instead of a formula."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import count, entries, fail, function, probabilities
from ._schedule import Schedule


@dataclass(frozen=True, repr=False)
class Fixed(Schedule):
    """The given probabilities, for exactly that many blocks.

    Args:
        probabilities: one survival probability in [0, 1] per block.

    Raises:
        InvalidArgument: an entry outside [0, 1] or NaN; on call, a different L.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.fixed([1.0, 0.9, 0.4])(3)
        tensor([1.0000, 0.9000, 0.4000], dtype=torch.float64)
    """

    probabilities: tuple[float, ...]

    def __init__(self, probabilities: Tensor | Iterable[float]) -> None:
        object.__setattr__(self, "probabilities", _as_tuple(probabilities))

    def survival(self, num_blocks: int) -> Tensor:
        if num_blocks != len(self.probabilities):
            given = f"{len(self.probabilities)}, the number of probabilities"
            raise fail("num_blocks", given, num_blocks)
        return torch.tensor(self.probabilities, dtype=torch.float64, device="cpu")


@dataclass(frozen=True, repr=False)
class Stagewise(Schedule):
    """One probability per stage: `schedule` over the stages, shared by a stage's blocks.

    Args:
        schedule: L -> probabilities, called with the number of stages.
        blocks_per_stage: how many blocks each stage has, each at least 1.

    Raises:
        InvalidArgument: an empty stage; on call, L different from the total.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.stagewise(sd.schedules.linear(0.8, rule="linspace"), [2, 1])(3)
        tensor([1.0000, 1.0000, 0.8000], dtype=torch.float64)
    """

    schedule: Schedule
    blocks_per_stage: tuple[int, ...]

    def __init__(self, schedule: Schedule, blocks_per_stage: Iterable[int]) -> None:
        object.__setattr__(self, "schedule", function("schedule", schedule, "a schedule"))
        numbers = entries("blocks_per_stage", blocks_per_stage, "a list of numbers of blocks")
        stages = tuple(count("blocks_per_stage", number) for number in numbers)
        count("number of stages", len(stages))
        object.__setattr__(self, "blocks_per_stage", stages)

    def survival(self, num_blocks: int) -> Tensor:
        total = sum(self.blocks_per_stage)
        if num_blocks != total:
            raise fail("num_blocks", f"{total}, the total of blocks_per_stage", num_blocks)
        stages = self.schedule(len(self.blocks_per_stage))
        return stages.repeat_interleave(torch.tensor(self.blocks_per_stage, device="cpu"))


def _as_tuple(values: Tensor | Iterable[float]) -> tuple[float, ...]:
    return tuple(probabilities("probabilities", values).tolist())
