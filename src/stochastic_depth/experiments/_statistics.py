"""Statistics of runs over seeds: spreads, and differences paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which imports its parts on use

from .._checks import fail

# With n pairs the two-sided Wilcoxon p cannot fall below 2 / 2**n, so five seeds can never
# show p < 0.05. Below six, only the differences are given.
LEAST_SEEDS_FOR_P = 6


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of one measure over n runs.

    Example:
        >>> print(Spread.of([1.0, 2.0, 3.0]))
        2.00 ± 1.00
    """

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the spread of `values`; the standard deviation of one value is NaN."""
        if not values:
            raise fail("values", "at least one number", "none")
        std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(mean=float(np.mean(values)), std=std, n=len(values))

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.n == 1 else f"{self.mean:.2f} ± {self.std:.2f}"


@dataclass(frozen=True)
class PairedDifference:
    """Differences `baseline - variant`, one per seed: positive where the variant is lower.

    Args:
        differences: One difference per seed.

    Example:
        >>> difference = PairedDifference.between([54.0, 55.0, 54.5], [51.0, 51.5, 52.0])
        >>> print(difference.spread, difference.wins, difference.p_wilcoxon)
        3.00 ± 0.50 3 None

    References:
        Wilcoxon 1945, "Individual comparisons by ranking methods".
    """

    differences: tuple[float, ...]

    @classmethod
    def between(cls, baseline: Sequence[float], variant: Sequence[float]) -> "PairedDifference":
        """Return the differences of two equally long lists, in the same order of seeds."""
        if len(baseline) != len(variant) or not baseline:
            lengths = f"{len(baseline)} and {len(variant)}"
            raise fail("baseline and variant", "equally many values, at least one", lengths)
        return cls(tuple(float(a - b) for a, b in zip(baseline, variant, strict=True)))

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.differences)

    @property
    def spread(self) -> Spread:
        """Mean and standard deviation of the differences."""
        return Spread.of(self.differences)

    @property
    def wins(self) -> int:
        """Seeds in which the variant is lower."""
        return sum(value > 0 for value in self.differences)

    @property
    def losses(self) -> int:
        """Seeds in which the variant is higher."""
        return sum(value < 0 for value in self.differences)

    @property
    def p_by_luck(self) -> float:
        """Chance of a count at least this one-sided if each seed were a coin toss (sign test)."""
        decided = self.wins + self.losses
        return float(scipy.stats.binomtest(self.wins, decided).pvalue) if decided else 1.0

    @property
    def p_t(self) -> float | None:
        """Two-sided p of the paired t test, or `None` below six pairs or without any spread."""
        mean, std = self.spread.mean, self.spread.std
        if self.n < LEAST_SEEDS_FOR_P or std <= 1e-9 * abs(mean):
            return None
        return float(2 * scipy.stats.t.sf(abs(mean) / (std / math.sqrt(self.n)), df=self.n - 1))

    @property
    def p_wilcoxon(self) -> float | None:
        """Two-sided p of Wilcoxon's signed-rank test, or `None` below six non-zero pairs."""
        if self.wins + self.losses < LEAST_SEEDS_FOR_P:
            return None
        return float(scipy.stats.wilcoxon([value for value in self.differences if value]).pvalue)
