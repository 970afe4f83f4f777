"""A number, and how well it is known."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number and its standard error, 0 for one that is computed and not sampled."""

    value: float
    standard_error: float
