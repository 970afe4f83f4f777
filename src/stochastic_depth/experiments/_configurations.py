"""Configurations as flat tables: how two differ, and which runs are comparable."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Any

from .._errors import DataError
from ..training import RunConfig, load, recipes
from ..training.run_record import RunRecord

IDENTITY = ("name", "variant", "seed", "split_seed")  # tell runs apart, do not describe them
TEST_SET = ("name", "test", "classes")  # of the data: without it test errors mean something else
# Fields that decide where and how fast a run happens, not what it finds.
CIRCUMSTANCES = {"accelerator", "checkpoint_every", "checkpoint_every_steps", "threads"} | {
    "processes",
    "data.cache_dir",
    "data.data_dir",
    "data.workers",
}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `config` with dotted names.

    Example:
        >>> flatten({"epochs": 3, "depth": {"last": 0.5}})
        {'epochs': 3, 'depth.last': 0.5}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        dotted = f"{prefix}{name}"
        flat |= flatten(value, f"{dotted}.") if isinstance(value, Mapping) else {dotted: value}
    return flat


def differing_fields(*configs: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the fields in which `configs` are not all equal, with the value in each.

    Names and seeds tell runs apart and are left out.

    Example:
        >>> differing_fields({"epochs": 3, "seed": 0}, {"epochs": 4, "seed": 1})
        {'epochs': (3, 4)}
    """
    flats = [flatten(config) for config in configs]
    names = dict.fromkeys(name for flat in flats for name in flat)
    rows = {name: tuple(flat.get(name) for flat in flats) for name in names if _describes(name)}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def identity(config: Mapping[str, Any]) -> str:
    """Return twelve characters that are the same for equal configurations.

    Example:
        >>> identity({"epochs": 3, "seed": 0}) == identity({"seed": 0, "epochs": 3})
        True
    """
    text = json.dumps(config, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def notes_on(config: RunConfig) -> str:
    """Return the notes stored with the recipe, in Markdown, or an empty string."""
    page = files("stochastic_depth.training") / "recipes" / f"{config.name}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else ""


def changes_to_recipe(config: RunConfig) -> dict[str, Any]:
    """Return the fields in which `config` departs from the recipe it is named after."""
    if config.name not in recipes():
        return {}
    recipe = load(config.name).to_mapping()
    differing = differing_fields(recipe, config.to_mapping())
    return {name: now for name, (_, now) in differing.items() if name not in CIRCUMSTANCES}


def check_comparable(runs: Sequence[RunRecord]) -> None:
    """Refuse runs whose test errors are not comparable, or whose seeds cannot be paired.

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


def _describes(name: str) -> bool:
    return name.rpartition(".")[2] not in IDENTITY
