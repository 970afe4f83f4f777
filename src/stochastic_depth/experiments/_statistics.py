"""Statistics of runs over seeds: spreads, and differences paired by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which imports its parts on use

from .._checks import fail

CONFIDENCE = 0.95
"""Of every interval of this project."""

SIGNIFICANT = 1 - CONFIDENCE


def reach(standard_error: float, n: float) -> float:
    """Return half the width of the 95 % confidence interval of a mean of n draws.

    It is t * standard_error, t the 97.5 % quantile of Student's distribution with n - 1 degrees
    of freedom. Two standard errors would cover the mean of three seeds in 82 % of cases alone.

    Args:
        standard_error: of the mean, at least 0.
        n: draws; from one nothing is known, and of infinitely many the error is.

    Example:
        >>> round(reach(0.5, 3), 2), reach(0.5, 1)
        (2.15, inf)
    """
    if standard_error == 0:
        return 0.0
    quantile = scipy.stats.t.isf(SIGNIFICANT / 2, n - 1) if n > 1 else math.inf
    return float(quantile) * standard_error


def anytime_reach(standard_error: float, n: float) -> float:
    """Return half the width of a 95 % interval that holds at all n at once, looked at after each.

    The intervals mean +- h(n), n = 2, 3, ..., of one growing sample of normal draws all cover
    their mean with probability 0.95 at least, so that one may stop at the first that decides.
    With t = h / standard_error, r = 1 / (1 + n) and K = (r SIGNIFICANT^2)^(-1/n),

        t^2 = (n - 1) (K - 1) / (1 - r K),    infinite where r K >= 1: below five draws

    It is where Gonen's Bayes factor, for a difference of about one standard deviation, passes
    1 / SIGNIFICANT. The factor is a martingale where there is none, and Ville's inequality
    bounds the chance that it ever does. At 20 draws it is 1.6 times `reach`.

    Args:
        standard_error: of the mean, at least 0.
        n: draws.

    Example:
        >>> round(anytime_reach(0.5, 20), 2), anytime_reach(0.5, 4)
        (1.71, inf)

    References:
        Lai 1976, "On confidence sequences"; Wang & Ramdas 2025, "Anytime-valid t-tests and
        confidence sequences for Gaussian means with unknown variance".
    """
    if standard_error == 0:
        return 0.0
    if not 1 < n < math.inf:
        return math.inf
    rest = 1 / (1 + n)
    growth = (rest * SIGNIFICANT**2) ** (-1 / n)
    if rest * growth >= 1:
        return math.inf
    return standard_error * math.sqrt((n - 1) * (growth - 1) / (1 - rest * growth))


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

    They are judged by Student's t, as everything in this project is: mean, 95 % interval, n.

    Args:
        differences: One difference per seed.

    Example:
        >>> difference = PairedDifference.between([54.0, 55.0, 54.5], [51.0, 51.5, 52.0])
        >>> print(difference.spread, difference.wins, difference.is_clear)
        3.00 ± 0.50 3 True
        >>> low, high = difference.interval
        >>> print(f"{low:.2f} to {high:.2f}")
        1.76 to 4.24

    References:
        Student 1908, "The probable error of a mean".
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
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean, or `None` of one pair or without any spread."""
        if not self._varies:
            return None
        half = reach(self.spread.std / math.sqrt(self.n), self.n)
        return self.spread.mean - half, self.spread.mean + half

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0: which is lower is then known, at 5 % false alarms."""
        low, high = self.interval or (0.0, 0.0)
        return low > 0 or high < 0

    @property
    def p(self) -> float | None:
        """Two-sided p of the paired t test, or `None` where there is no interval."""
        if not self._varies:
            return None
        t = abs(self.spread.mean) / (self.spread.std / math.sqrt(self.n))
        return float(2 * scipy.stats.t.sf(t, df=self.n - 1))

    @property
    def _varies(self) -> bool:
        # Equal differences come of tiny test sets: they do not show that others would be equal.
        return self.n > 1 and self.spread.std > 1e-9 * abs(self.spread.mean)
