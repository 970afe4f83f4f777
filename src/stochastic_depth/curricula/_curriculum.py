"""What all curricula share: the check of progress, the check of the result, the repr."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import fields

from torch import Tensor

from .._checks import fail, interval, probabilities, probability
from .._typing import Probabilities

Survival = float | Tensor | Iterable[float]
"""One survival probability for all blocks, or one per block."""


class Curriculum(ABC):
    """Abstract curriculum: subclass it as a frozen dataclass and define `survival`.

    Example:
        >>> from dataclasses import dataclass
        >>> import torch
        >>> from stochastic_depth.curricula import Curriculum
        >>> @dataclass(frozen=True, repr=False)
        ... class Alternate(Curriculum):
        ...     p: float
        ...     def survival(self, progress):
        ...         return torch.full((2,), 1.0 if progress < 0.5 else self.p)
        >>> Alternate(0.8)(0.75)
        tensor([0.8000, 0.8000], dtype=torch.float64)
        >>> Alternate(0.8)
        alternate(p=0.8)
    """

    def __call__(self, progress: float) -> Probabilities:
        """Return the survival probabilities at `progress`.

        Args:
            progress: share of training done, in [0, 1].

        Returns:
            float64 tensor of shape (L,), entries in [0, 1].

        Raises:
            InvalidArgument: `progress` outside [0, 1] or NaN.
        """
        remedy = "Progress is step / total_steps."
        progress = interval("progress", progress, 0.0, 1.0, remedy=remedy)
        name = f"{type(self).__name__.lower()}({progress:g})"
        return probabilities(name, self.survival(progress))

    @abstractmethod
    def survival(self, progress: float) -> Tensor:
        """Return the probabilities for a valid `progress`; called by `__call__`."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__.lower()}({arguments})"


def as_survival(values: Survival) -> tuple[float, ...]:
    """Return the probabilities as numbers; a single one stands for all blocks."""
    if isinstance(values, Iterable) and getattr(values, "ndim", 1) > 0:
        return tuple(probabilities("p", values).tolist())
    return (probability("p", values),)  # type: ignore[arg-type]


def as_share(field: str, value: float) -> float:
    """Return a share of training in (0, 1]."""
    share = interval(field, value, 0.0, 1.0, remedy="It is a share of training.")
    if share == 0:
        raise fail(field, "in (0, 1]", 0, "For a ramp of no length use constant(p).")
    return share
