"""A number and how well it is known; a straight line through such numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .._checks import fail, finite, same_length


class Estimate(NamedTuple):
    """A number and its standard error, which is 0 if it was computed instead of sampled."""

    value: float
    standard_error: float


NORMAL_95 = 1.959963984540054
"""Half width of the central 95 % of a standard normal distribution."""


@dataclass(frozen=True)
class Slope:
    """A measured exponent.

    Attributes:
        value: the estimate.
        standard_error: its standard error.
    """

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % confidence interval."""
        return self.value - NORMAL_95 * self.standard_error

    @property
    def high(self) -> float:
        """Upper end of the 95 % confidence interval."""
        return self.value + NORMAL_95 * self.standard_error

    def __str__(self) -> str:
        return f"{self.value:.3f} (95 %: {self.low:.3f} to {self.high:.3f})"


def fit_slope(x: Sequence[float], y: Sequence[float], errors: Sequence[float]) -> Slope:
    """Fit y = c + s x by least squares; the error of s follows from those of y.

    Args:
        x: at least two different places.
        y: a measurement at each.
        errors: their standard errors; measurements are assumed to be independent.

    Raises:
        InvalidArgument: lengths differ, fewer than two places, values not finite.

    Example:
        >>> import stochastic_depth as sd
        >>> print(sd.theory.fit_slope([1.0, 2.0, 3.0], [0.0, 0.5, 1.0], [0.02, 0.02, 0.02]))
        0.500 (95 %: 0.472 to 0.528)
    """
    places, values = finite("x", x), finite("y", y)
    uncertainty = same_length("errors", finite("errors", errors), len(places))
    centred = places - places.mean()
    spread = float(centred.square().sum())
    if spread == 0:
        raise fail("x", "at least two different places", list(x))
    weights = centred / spread
    value = float(weights @ same_length("y", values, len(places)))
    return Slope(value, math.sqrt(float(torch.sum((weights * uncertainty) ** 2))))
