"""Which runs may stand in one table, and the reason when they may not."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from .._errors import DataError
from ..training.run_record import RunRecord
from ._configuration import differing_fields

TEST_SET = ("name", "test", "classes")


def check_comparable(runs: Sequence[RunRecord]) -> None:
    """Refuse runs whose test errors do not mean the same, or whose seeds cannot be paired.

    Raises:
        DataError: There are no runs; or they were tested on different images; or two runs
            have the same variant and seed; or runs of one variant differ in more than the seed.
    """
    if not runs:
        raise DataError("There are no runs to compare. Pass the directories of some.")
    _check_test_set(runs)
    _check_distinct(runs)
    for _, group in groupby(sorted(runs, key=_variant), key=_variant):
        _check_one_variant(tuple(group))


def _check_test_set(runs: Sequence[RunRecord]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for name in TEST_SET:
            if run.data.get(name) != first.data.get(name):
                raise _refusal(first, run, f"data.{name}", first.data.get(name), run.data.get(name))


def _check_distinct(runs: Sequence[RunRecord]) -> None:
    seen: dict[tuple[str, int], RunRecord] = {}
    for run in runs:
        twin = seen.setdefault((run.variant, run.seed), run)
        if twin is not run:
            raise DataError(
                f"{twin.directory} and {run.directory} are both variant {run.variant!r}, "
                f"seed {run.seed}. Leave one of them out."
            )


def _check_one_variant(runs: Sequence[RunRecord]) -> None:
    for run in runs[1:]:
        differing = differing_fields(runs[0].config, run.config)
        if differing:
            name, (one, other) = next(iter(differing.items()))
            raise _refusal(runs[0], run, name, one, other, more=len(differing) - 1)


def _variant(run: RunRecord) -> str:
    return run.variant


def _refusal(
    one: RunRecord, other: RunRecord, name: str, first: Any, second: Any, *, more: int = 0
) -> DataError:
    rest = f" (and {more} more fields)" if more else ""
    return DataError(
        f"{one.directory} and {other.directory} cannot be compared: {name} is {first!r} in the "
        f"one and {second!r} in the other{rest}. Compare runs that share it."
    )
