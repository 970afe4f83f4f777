"""What is measured of a run: the columns of every table and chart, one name each."""

from collections.abc import Callable
from dataclasses import dataclass

from ._record import RunRecord, Summary


@dataclass(frozen=True)
class Measure:
    """One number of a finished run.

    Args:
        title: Heading of its column, with the unit.
        of: Reads it from the summary; `None` where the run does not have it.
        decimals: Digits after the point that carry meaning.
    """

    title: str
    of: Callable[[Summary], float | None]
    decimals: int = 2

    def __call__(self, run: RunRecord) -> float | None:
        """Return the number, or `None` where the run has not got it."""
        return None if run.summary is None else self.of(run.summary)


TEST_ERROR_AT_BEST = Measure("test error at best validation, %", lambda s: s.test_error_at_best)
TEST_ERROR_LAST = Measure("test error, last epoch, %", lambda s: s.test_error_last)
TRAIN_ERROR_RUNNING = Measure("training error, running, %", lambda s: s.train_error_running)
TRAIN_ERROR_FINAL = Measure("training error, final, %", lambda s: s.train_error_final)
SECONDS = Measure("training time, s", lambda s: s.seconds, 1)
LIVE_SHARE = Measure("live share of blocks", lambda s: s.live_share, 3)
LIVE_COST = Measure("live share of cost", lambda s: s.live_cost, 3)
