"""What is measured of a run: the columns of every table and chart, one name each."""

from collections.abc import Callable
from dataclasses import dataclass

from ._record import RunRecord


@dataclass(frozen=True)
class Measure:
    """One number of a finished run.

    Args:
        title: Heading of its column, with the unit.
        of: Reads it from a finished run; `None` where that does not have it.
        decimals: Digits after the point that carry meaning.
    """

    title: str
    of: Callable[[RunRecord], float | None]
    decimals: int = 2

    def __call__(self, run: RunRecord) -> float | None:
        """Return the number, or `None` where the run has not got it."""
        return self.of(run) if run.status == "finished" else None


def _in_summary(title: str, field: str, decimals: int = 2) -> Measure:
    return Measure(title, lambda run: getattr(run.summary, field), decimals)


def _median_epoch(run: RunRecord) -> float | None:
    # The median forgives an epoch in which the machine was busy with something else, or slept.
    median = run.metrics["seconds"].median()
    return median if isinstance(median, float) else None


TEST_ERROR_AT_BEST = _in_summary("test error at best validation, %", "test_error_at_best")
TEST_ERROR_LAST = _in_summary("test error, last epoch, %", "test_error_last")
TRAIN_ERROR_RUNNING = _in_summary("training error, running, %", "train_error_running")
TRAIN_ERROR_FINAL = _in_summary("training error, final, %", "train_error_final")
SECONDS = _in_summary("training time, s", "seconds", 1)
EPOCH_SECONDS = Measure("median epoch, s", _median_epoch, 3)
LIVE_SHARE = _in_summary("live share of blocks", "live_share", 3)
LIVE_COST = _in_summary("live share of cost", "live_cost", 3)
