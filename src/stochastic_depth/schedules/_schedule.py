"""What all schedules share: the check of L, the check of the result, the repr."""

from abc import ABC, abstractmethod
from dataclasses import fields

import torch
from torch import Tensor

from .._checks import MOST_BLOCKS, count, probabilities, same_length
from .._typing import Probabilities


class Schedule(ABC):
    """Abstract schedule: subclass it as a frozen dataclass and define `survival`.

    Example:
        >>> from dataclasses import dataclass
        >>> import torch
        >>> from stochastic_depth.schedules import Schedule
        >>> @dataclass(frozen=True, repr=False)
        ... class FirstHalfOnly(Schedule):
        ...     p: float
        ...     def survival(self, num_blocks):
        ...         late = torch.arange(num_blocks) >= num_blocks // 2
        ...         return torch.where(late, 1.0, self.p)
        >>> FirstHalfOnly(0.5)(4)
        tensor([0.5000, 0.5000, 1.0000, 1.0000], dtype=torch.float64)
    """

    def __call__(self, num_blocks: int) -> Probabilities:
        """Return the survival probability of each of `num_blocks` blocks.

        Args:
            num_blocks: L, at least 1.

        Returns:
            float64 tensor of shape (L,), entries in [0, 1].

        Raises:
            InvalidArgument: L < 1, or the schedule does not apply to this L.
        """
        num_blocks = count("num_blocks", num_blocks, most=MOST_BLOCKS)
        vector = probabilities(f"{self}({num_blocks})", self.survival(num_blocks))
        return same_length(f"{self}({num_blocks})", vector, num_blocks)

    @abstractmethod
    def survival(self, num_blocks: int) -> Tensor:
        """Return the probabilities for a valid `num_blocks`; called by `__call__`."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__.lower()}({arguments})"


def depth_fraction(num_blocks: int) -> Tensor:
    """Return l/L for l = 1..L, the depth of each block as Huang et al. count it."""
    return torch.arange(1, num_blocks + 1, dtype=torch.float64, device="cpu") / num_blocks
