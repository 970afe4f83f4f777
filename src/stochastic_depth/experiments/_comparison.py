"""Runs side by side: variants by seeds, and what can be concluded from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from .._checks import one_of
from .._errors import DataError
from ..training.run_record import (
    EPOCH_SECONDS,
    MEASURES,
    REALISED_DEPTH,
    TEST_ERROR_AT_BEST,
    TEST_ERROR_LAST,
    TEST_LOSS_AT_BEST,
    TEST_LOSS_LAST,
    Measure,
    RunRecord,
)
from ._configurations import check_comparable, differing_fields
from ._jobs import PLAN_FILE, Plan
from ._statistics import PairedDifference, Spread

# The mean depth is the live share in other units.
COMPARED = {name: of for name, of in MEASURES.items() if of is not REALISED_DEPTH}


@dataclass(frozen=True)
class Comparison:
    """Comparable runs: variants in order, the baseline first.

    Args:
        runs: The runs, in the order of variants and seeds.
        plan: What `compare` was asked for, or `None` for runs gathered by hand.

    Raises:
        DataError: There are no runs, or they cannot be compared; the message says why.
    """

    runs: tuple[RunRecord, ...]
    plan: Plan | None = None

    def __post_init__(self) -> None:
        """Refuse runs that cannot be compared."""
        check_comparable(self.runs)

    @classmethod
    def read(cls, *directories: str | Path) -> Self:
        """Read run directories and compare directories, in any mixture.

        Args:
            directories: Each a run directory, or a directory that holds some at any depth.

        Returns:
            The comparison; its plan is that of the compare directory if only one is given.
        """
        runs = [RunRecord.read(path) for top in directories for path in runs_under(Path(top))]
        plan_file = Path(directories[0]) / PLAN_FILE if len(directories) == 1 else None
        plan = Plan.read(plan_file) if plan_file and plan_file.exists() else None
        return cls(in_order(runs, tuple(plan.variants) if plan else ()), plan)

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants; the first is the baseline."""
        return tuple(dict.fromkeys(run.variant for run in self.runs))

    @property
    def baseline(self) -> str:
        """The variant the others are compared with."""
        return self.variants[0]

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.runs[0].name

    def finished(self, variant: str) -> dict[int, RunRecord]:
        """Return the finished runs of one variant by seed."""
        one_of("variant", variant, self.variants)
        chosen = (run for run in self.runs if run.variant == variant)
        return {run.seed: run for run in chosen if run.status == "finished"}

    @property
    def unfinished(self) -> tuple[RunRecord, ...]:
        """The recorded runs that failed or still train."""
        return tuple(run for run in self.runs if run.status != "finished")

    @property
    def failures(self) -> dict[str, str]:
        """Failures by `variant/seed-k`, including runs that left no record."""
        recorded = {run.key: run.error for run in self.runs if run.status == "failed"}
        return recorded | dict(self.plan.failures if self.plan else {})

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs, in increasing order."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def test_error(self) -> Measure:
        """The measure that decides: test error at the best validation epoch where there is one.

        Of language models it is the test loss.
        """
        validated = all(run.has_validation for run in self.runs)
        if all(run.is_text for run in self.runs):
            return TEST_LOSS_AT_BEST if validated else TEST_LOSS_LAST
        return TEST_ERROR_AT_BEST if validated else TEST_ERROR_LAST

    def spread(self, variant: str, measure: Measure) -> Spread | None:
        """Return mean and deviation of `measure` over the finished runs of `variant`."""
        values = [measure(run) for run in self.finished(variant).values()]
        known = [value for value in values if value is not None]
        return Spread.of(known) if known else None

    def difference(
        self, variant: str, measure: Measure, against: str | None = None
    ) -> PairedDifference | None:
        """Return `against - variant`, by default `baseline - variant`, over their common seeds."""
        pairs = self._pairs(variant, measure, against)
        return PairedDifference.between(*zip(*pairs.values(), strict=True)) if pairs else None

    def ratio(self, variant: str, measure: Measure) -> Spread | None:
        """Return `variant / baseline`, the ratio taken seed by seed."""
        pairs = self._pairs(variant, measure).values()
        return Spread.of([other / base for base, other in pairs]) if pairs else None

    def configuration_differences(self) -> dict[str, tuple[Any, ...]]:
        """Return the fields that differ between variants, one value per variant."""
        first: dict[str, Mapping[str, Any]] = {}
        for run in self.runs:
            first.setdefault(run.variant, run.config)
        return differing_fields(*first.values())

    def _pairs(
        self, variant: str, measure: Measure, against: str | None = None
    ) -> dict[int, tuple[float, float]]:
        base, other = self.finished(against or self.baseline), self.finished(variant)
        both = {seed: (measure(base[seed]), measure(other[seed])) for seed in base.keys() & other}
        return {
            seed: (a, b) for seed, (a, b) in sorted(both.items()) if a is not None and b is not None
        }


def results(comparison: Comparison) -> dict[str, Any]:
    """Return what the tables of a comparison say.

    Args:
        comparison: The runs.

    Returns:
        Per run its summary, per variant mean and deviation of every measure, per variant but
        the baseline the paired difference and the ratio of the median epochs; unknown values are
        `None`.
    """
    others = comparison.variants[1:]
    return {
        "name": comparison.name,
        "baseline": comparison.baseline,
        "decided_by": name_of(comparison.test_error),
        "runs": {run.key: run.summary and asdict(run.summary) for run in comparison.runs},
        "failures": comparison.failures,
        "variants": {
            variant: {
                name: spread_record(comparison.spread(variant, of)) for name, of in COMPARED.items()
            }
            for variant in comparison.variants
        },
        "differences": {
            variant: difference_record(comparison.difference(variant, comparison.test_error))
            for variant in others
        },
        "time_ratios": {
            variant: spread_record(comparison.ratio(variant, EPOCH_SECONDS)) for variant in others
        },
    }


def name_of(measure: Measure) -> str:
    """Return the name of a measure in tables for programs."""
    return next(name for name, other in MEASURES.items() if other is measure)


def spread_record(spread: Spread | None) -> dict[str, float | None] | None:
    """Return a spread for JSON."""
    if spread is None:
        return None
    return {"mean": spread.mean, "std": spread.std if spread.n > 1 else None, "n": spread.n}


def difference_record(difference: PairedDifference | None) -> dict[str, Any] | None:
    """Return a difference for JSON: the estimate, its interval and n, then p."""
    if difference is None:
        return None
    return {
        "differences": list(difference.differences),
        **(spread_record(difference.spread) or {}),
        "interval": difference.interval and list(difference.interval),
        "p": difference.p,
        "wins": difference.wins,
        "losses": difference.losses,
    }


def runs_under(top: Path) -> list[Path]:
    """Return `top` if it is a run directory, else all run directories below it."""
    if (top / "run.json").exists():
        return [top]
    found = sorted(path.parent for path in top.rglob("run.json"))
    if found:
        return found
    if not top.is_dir():
        raise DataError(f"There is no directory {top}.")
    raise DataError(
        f"{top} holds no run: run.json is nowhere below it. "
        "Pass a directory that `sdepth train` or `sdepth compare` wrote."
    )


def in_order(runs: Sequence[RunRecord], variants: Sequence[str]) -> tuple[RunRecord, ...]:
    """Return `runs` by variant and seed, the variants as planned.

    Without a plan, a variant at constant depth comes first, because it is the baseline; the
    others keep their order.
    """
    order = list(dict.fromkeys([*variants, *(run.variant for run in runs)]))
    if not variants:
        depths = {run.variant: bool((run.survival < 1).any()) for run in runs}
        order.sort(key=depths.__getitem__)
    return tuple(sorted(runs, key=lambda run: (order.index(run.variant), run.seed)))
