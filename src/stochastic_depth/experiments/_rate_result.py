"""The answer to which rate, and the rule it follows from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..training.run_record import LIVE_COST, SECONDS, Measure, RunRecord
from ._comparison import Comparison, difference_record, spread_record
from ._statistics import PairedDifference, Spread

RateVerdict = Literal["recommended", "fits", "not lower", "not shown", "higher"]

CONSTANT = "constant"

VALIDATION_ERROR = Measure(
    "validation error, last epoch, %",
    lambda run: run.metrics["validation_error"][-1],
    quantity="validation error",
)


@dataclass(frozen=True)
class Rung:
    """A rung of successive halving.

    Args:
        seeds: Seeds of each candidate so far.
        errors: Mean validation error of each in per cent, infinite where a run failed.
        kept: The candidates that go on.
    """

    seeds: int
    errors: Mapping[str, float]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Rate:
    """Which survival a network should have on a data set, by validation error.

    | verdict         | what was found                                                       |
    |-----------------|----------------------------------------------------------------------|
    | `"recommended"` | on fresh seeds the interval of constant − chosen lies above 0        |
    | `"not shown"`   | it contains 0                                                        |
    | `"higher"`      | it lies below 0                                                      |
    | `"not lower"`   | no candidate was below constant depth on the seeds that chose        |
    | `"fits"`        | the interval of the gap lies below `worth`: it does not overfit here |

    Args:
        comparison: All runs; constant depth comes first.
        gap: Validation minus training error at constant depth, seed by seed.
        worth: The smallest gain in points that is worth having.
        rungs: What successive halving saw; none if the network fits.
        fresh: Seeds that chose nothing, by which the choice is judged.
        left_out: Candidates that this network cannot have, with the reason.
    """

    comparison: Comparison
    gap: PairedDifference
    worth: float
    rungs: tuple[Rung, ...] = ()
    fresh: tuple[int, ...] = ()
    left_out: Mapping[str, str] | None = None

    @property
    def chosen(self) -> str | None:
        """The candidate that was best on the seeds that chose."""
        return self.rungs[-1].kept[0] if self.rungs else None

    @property
    def recommended(self) -> str | None:
        """The candidate to use, or `None` for constant depth."""
        return self.chosen if self.verdict == "recommended" else None

    @property
    def verdict(self) -> RateVerdict:
        """What follows from the runs."""
        if self.chosen is None:
            return "fits"
        if not self.fresh:
            return "not lower"
        found = self.confirmation
        if found is None or not found.is_clear:
            return "not shown"
        return "recommended" if found.spread.mean > 0 else "higher"

    @property
    def confirmation(self) -> PairedDifference | None:
        """Constant depth minus the chosen candidate in validation error, on fresh seeds."""
        return self.on_fresh(VALIDATION_ERROR)

    def on_fresh(self, measure: Measure) -> PairedDifference | None:
        """Return constant depth minus the chosen candidate on fresh seeds."""
        if self.chosen is None or not self.fresh:
            return None
        return self._seen(self.fresh).difference(self.chosen, measure)

    def selection(self, name: str) -> PairedDifference | None:
        """Return constant depth minus a candidate in validation error, on the seeds that chose."""
        if name not in self.comparison.variants:
            return None
        chose = [seed for seed in self.comparison.seeds if seed not in self.fresh]
        return self._seen(chose).difference(name, VALIDATION_ERROR)

    def time_ratio(self, name: str) -> Spread | None:
        """Return the time of training as a share of that at constant depth, seed by seed."""
        return self.comparison.ratio(name, SECONDS)

    @property
    def cost(self) -> tuple[int, float]:
        """How many trainings were needed, and their seconds, one after the other."""
        seconds = [SECONDS(run) or 0.0 for run in self.comparison.runs]
        return len(seconds), sum(seconds)

    def record(self) -> dict[str, Any]:
        """Return the answer and what it rests on, for `--json`."""
        runs, seconds = self.cost
        names = self.rungs[0].errors if self.rungs else ()
        return {
            "verdict": self.verdict,
            "recommended": self.recommended,
            "chosen": self.chosen,
            "confirmation": difference_record(self.confirmation),
            "worth": self.worth,
            "gap": difference_record(self.gap),
            "rungs": [
                {"seeds": rung.seeds, "kept": list(rung.kept), "errors": _finite(rung.errors)}
                for rung in self.rungs
            ],
            "candidates": {
                name: {
                    "difference": difference_record(self.selection(name)),
                    "time_ratio": spread_record(self.time_ratio(name)),
                    "live_cost": spread_record(self.comparison.spread(name, LIVE_COST)),
                }
                for name in names
                if name in self.comparison.variants
            },
            "left_out": dict(self.left_out or {}),
            "failures": self.comparison.failures,
            "runs": runs,
            "seconds": seconds,
        }

    def _seen(self, seeds: Sequence[int]) -> Comparison:
        runs = tuple(run for run in self.comparison.runs if run.seed in seeds)
        return replace(self.comparison, runs=runs)


def gap_of(runs: Sequence[RunRecord]) -> PairedDifference:
    """Return validation minus training error, both in evaluation mode, of finished runs."""
    held_out = [VALIDATION_ERROR(run) for run in runs]
    trained = [run.summary.train_error_final if run.summary else None for run in runs]
    pairs = [(a, b) for a, b in zip(held_out, trained, strict=True) if None not in (a, b)]
    return PairedDifference.between(*zip(*pairs, strict=True))


def fits(gap: PairedDifference, worth: float) -> bool:
    """Return whether a gap is surely smaller than what would be worth having.

    A regulariser can at best close the gap between training and validation.
    """
    return gap.interval is not None and gap.interval[1] < worth


def _finite(errors: Mapping[str, float]) -> dict[str, float | None]:
    return {name: error if error < float("inf") else None for name, error in errors.items()}
