"""What is measured of a run at constant depth and one at stochastic depth of the same seed."""

import numpy as np

from ...experiments import TRAIN_ERROR_RUNNING, Comparison, RunRecord
from .._claim import Claim, Measurement
from .._experiment import CONSTANT, STOCHASTIC, Pair, by_seed, known, lower_by, mean

REPRODUCTION = "observed in a student reproduction of figure 3"

LOWER = "test error of constant minus that of stochastic depth, points"
HIGHER_TRAINING = "training error of stochastic minus that of constant depth, points"
FLUCTUATION = "fluctuation of the test error, stochastic over constant depth"
OVERHEAD = "fastest epoch over that at constant depth, over the live share of its cost"

NOTE = (
    "Epochs are timed by the clock on the wall, neighbours on the machine included; `table2` "
    "times steps that take turns."
)

# What a step of a small network does besides running blocks; the paper names no number.
SPARE_TIME = 1.05


def claims(source: str) -> tuple[Claim, ...]:
    """Return what is claimed of every pair of curves.

    Args:
        source: where the curves are printed.
    """
    return (
        Claim(LOWER, 0.0, source, relation=">="),
        Claim(HIGHER_TRAINING, 0.0, REPRODUCTION, relation=">="),
        Claim(FLUCTUATION, 1.0, REPRODUCTION, relation=">="),
        Claim(OVERHEAD, SPARE_TIME, "a dropped block costs nothing", relation="<="),
    )


def measurements(comparison: Comparison) -> dict[str, Measurement]:
    """Return what `claims` names, as means over the seeds that both variants finished."""
    pairs: dict[str, Pair] = {
        HIGHER_TRAINING: lambda base, run: _minus(
            TRAIN_ERROR_RUNNING(run), TRAIN_ERROR_RUNNING(base)
        ),
        FLUCTUATION: lambda base, run: _over(fluctuation(run), fluctuation(base)),
        OVERHEAD: lambda base, run: _over(fastest_epoch(run), fastest_epoch(base)),
    }
    found = {
        name: mean(by_seed(comparison, CONSTANT, STOCHASTIC, number))
        for name, number in pairs.items()
    }
    return known({LOWER: lower_by(comparison, CONSTANT, STOCHASTIC), **found})


def fluctuation(run: RunRecord) -> float | None:
    """Return how far the test error moves between evaluations while the rate is at its first value.

    The root mean square of second differences, which a steady descent leaves at zero; None of
    fewer than three evaluations.
    """
    first = run.metrics.filter(lr=run.metrics["lr"][0])
    errors = first["test_error"].drop_nulls().to_numpy()
    if len(errors) < 3:
        return None
    return float(np.sqrt(np.mean(np.diff(errors, n=2) ** 2)))


def fastest_epoch(run: RunRecord) -> float | None:
    """Return the least seconds of an epoch over the share of the cost that was live in it.

    The fastest epoch is the one that neighbours on the machine disturbed least.
    """
    per_share = run.metrics["seconds"] / run.metrics["realised_cost"]
    return None if per_share.is_empty() else float(per_share.to_numpy().min())


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other
