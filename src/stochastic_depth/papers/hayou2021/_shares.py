"""Shares of rejected tests: one number per network, so that networks are the draws."""

from torch import Tensor

from .._claim import Measurement

LEVEL = 0.05

# Exact tests of Gaussian draws reject 5 %; "Gaussian behaviour holds" is taken to mean that
# no more than twice as many are rejected. The paper shows p-values and names no number.
GAUSSIAN_SHARE = 0.10


def rejected(p_values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return the share of tests that reject normality at 5 %."""
    return (p_values < LEVEL).double().mean(dim)


def mean_over_networks(values: Tensor) -> Measurement:
    """Return the mean and its standard error over networks, at least two."""
    error = float(values.std()) / len(values) ** 0.5
    return Measurement(float(values.mean()), error, len(values))
