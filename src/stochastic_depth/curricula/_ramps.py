"""Curricula that move between full depth and the final probabilities.

All are of one form, with an intensity r(t) in [0, 1]:

    p_l(t) = 1 - (1 - p_l) r(t)

so that r = 0 is full depth and r = 1 gives p.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import positive
from ._curriculum import Curriculum, Survival, as_share, as_survival


@dataclass(frozen=True, repr=False)
class Ramp(Curriculum):
    """Abstract curriculum with an intensity: subclass it and define `intensity`."""

    p: Survival

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", as_survival(self.p))

    @abstractmethod
    def intensity(self, progress: float) -> float:
        """Return r(t)."""

    def survival(self, progress: float) -> Tensor:
        # Both ends must be exact, and 1 - (1 - p) is not always p.
        intensity = self.intensity(progress)
        p = torch.tensor(self.p, dtype=torch.float64, device="cpu")
        return p if intensity == 1 else 1 - (1 - p) * intensity


@dataclass(frozen=True, repr=False)
class Constant(Ramp):
    """The same probabilities throughout: `r(t) = 1`.

    Args:
        p: survival probability, one number or one per block, in [0, 1].

    Raises:
        InvalidArgument: `p` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.curricula.constant([0.9, 0.5])(0.3)
        tensor([0.9000, 0.5000], dtype=torch.float64)
    """

    def intensity(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True, repr=False)
class Warmup(Ramp):
    """From full depth, linearly, to `p` at `until`: `r(t) = min(1, t / until)`.

    Args:
        p: final survival probability, one number or one per block, in [0, 1].
        until: share of training in (0, 1] at which `p` is reached, exactly.

    Raises:
        InvalidArgument: `p` or `until` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> [round(sd.curricula.warmup(0.5, until=0.2)(t).item(), 3) for t in (0, 0.1, 0.2, 1)]
        [1.0, 0.75, 0.5, 0.5]
    """

    until: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "until", as_share("until", self.until))

    def intensity(self, progress: float) -> float:
        return min(1.0, progress / self.until)


@dataclass(frozen=True, repr=False)
class Progressive(Ramp):
    """Exponential approach to `p`: `r(t) = 1 - exp(-sharpness t)`.

    DeepSpeed's progressive layer drop has theta(step) = (1 - p) exp(-gamma step) + p;
    `sharpness = gamma * total_steps` gives the same numbers. It approaches p without
    reaching it: at t = 1 a share exp(-sharpness) of the way is left.

    Args:
        p: limit of the survival probability, one number or one per block, in [0, 1].
        sharpness: positive; 5 leaves 0.7 % of the way at the end.

    Raises:
        InvalidArgument: `p` or `sharpness` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.curricula.progressive(0.5, sharpness=5)(1.0)
        tensor([0.5034], dtype=torch.float64)

    References:
        Zhang & He 2020, Accelerating training of transformer-based language models
        with progressive layer dropping, section 4.
    """

    sharpness: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sharpness", positive("sharpness", self.sharpness))

    def intensity(self, progress: float) -> float:
        return -math.expm1(-self.sharpness * progress)


@dataclass(frozen=True, repr=False)
class Early(Ramp):
    """Strongest at the start, gone at `until`: `r(t) = max(0, 1 - t / until)`.

    Args:
        p: initial survival probability, one number or one per block, in [0, 1].
        until: share of training in (0, 1] from which on every block runs.

    Raises:
        InvalidArgument: `p` or `until` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> [sd.curricula.early(0.5, until=0.2)(t).item() for t in (0, 0.1, 0.2)]
        [0.5, 0.75, 1.0]

    References:
        Liu et al. 2023, Dropout reduces underfitting, "early s.d." with the linear
        decay of the rate.
    """

    until: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "until", as_share("until", self.until))

    def intensity(self, progress: float) -> float:
        return max(0.0, 1 - progress / self.until)


@dataclass(frozen=True, repr=False)
class Late(Ramp):
    """Full depth until `start`, then `p`: `r(t) = 1 if t >= start else 0`.

    Args:
        p: survival probability from `start` on, one number or one per block, in [0, 1].
        start: share of training in (0, 1].

    Raises:
        InvalidArgument: `p` or `start` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> [sd.curricula.late(0.6, start=0.5)(t).item() for t in (0.4, 0.5)]
        [1.0, 0.6]

    References:
        Liu et al. 2023, Dropout reduces underfitting, "late s.d.".
    """

    start: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "start", as_share("start", self.start))

    def intensity(self, progress: float) -> float:
        return float(progress >= self.start)
