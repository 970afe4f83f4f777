"""Runs set side by side: variants by seeds, and what may be said about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from .._checks import one_of
from ..training.run_record import TEST_ERROR_AT_BEST, TEST_ERROR_LAST, Measure, RunRecord
from ._comparable import check_comparable
from ._configuration import differing_fields
from ._gather import in_order, runs_under
from ._plan import PLAN_FILE, Plan
from ._statistics import PairedDifference, Spread


@dataclass(frozen=True)
class Comparison:
    """Runs that may be compared, variants in order, the baseline first.

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
        """What went wrong, by `variant/seed-k`; also of runs that left no record."""
        recorded = {run.key: run.error for run in self.runs if run.status == "failed"}
        return recorded | dict(self.plan.failures if self.plan else {})

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs, in increasing order."""
        return tuple(sorted({run.seed for run in self.runs}))

    @property
    def test_error(self) -> Measure:
        """The measure that decides: test error at the best validation epoch where there is one."""
        validated = all(run.has_validation for run in self.runs)
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
