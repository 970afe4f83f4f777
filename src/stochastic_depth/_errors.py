"""Every error this library raises on purpose.

The root class can stand in an `except` of its own; each leaf also derives from
the built-in exception that a caller would expect, so that code unaware of this
library still catches it.
"""

__all__ = [
    "AlreadyApplied",
    "CheckpointError",
    "DataError",
    "InfeasibleBudget",
    "InvalidArgument",
    "NothingToDrop",
    "ProcessLost",
    "RunDirectoryInUse",
    "StochasticDepthError",
    "TrainingDiverged",
    "Unsupported",
]


class StochasticDepthError(Exception):
    """Root of the errors of this library."""


class InvalidArgument(StochasticDepthError, ValueError):
    """An argument is outside its range; the message names field, requirement, value and remedy."""


class InfeasibleBudget(InvalidArgument):
    """No member of the family meets the budget; the message says what is feasible."""


class NothingToDrop(StochasticDepthError, LookupError):
    """The model has no block that may be skipped; the message lists what was examined."""


class AlreadyApplied(StochasticDepthError, RuntimeError):
    """The model already carries stochastic depth."""


class Unsupported(StochasticDepthError, NotImplementedError):
    """The request is meaningful, but this block or model cannot do it; the message says why."""


class DataError(StochasticDepthError, ValueError):
    """A data set is missing, corrupt, or does not have the shape it must have."""


class CheckpointError(StochasticDepthError, RuntimeError):
    """A checkpoint cannot be read or does not belong to this run."""


class ProcessLost(StochasticDepthError, RuntimeError):
    """One of several training processes ended unexpectedly."""


class RunDirectoryInUse(StochasticDepthError, RuntimeError):
    """The run directory belongs to another run."""


class TrainingDiverged(StochasticDepthError, ArithmeticError):
    """The loss became NaN or infinite; the last good checkpoint was kept."""
