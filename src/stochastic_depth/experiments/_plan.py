"""What a comparison or a sweep was asked for and what became of it: compare.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from .._errors import DataError
from .._files import write_text
from ..training.run_record import read_json

PLAN_FILE = "compare.json"


@dataclass(frozen=True)
class Plan:
    """What `compare` or `sweep` was asked for.

    Args:
        name: Name of the recipe.
        variants: Fields of the recipe that each variant overrides; the first is the baseline.
        seeds: Seeds, one run of each variant per seed.
        processes: Runs trained at the same time.
        threads: Threads of each run.
        command: The command line that asked for it.
        changes: Fields in which the command line changed the recipe.
        notes: What is known about this recipe beyond these runs, in Markdown.
        grid: Values of each axis, where the variants are the cells of a grid.
        failures: What went wrong, by `variant/seed-k`.
    """

    name: str
    variants: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    processes: int
    threads: int
    command: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `compare.json`."""
        values = read_json(path)
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        try:
            return cls(**known | {"seeds": tuple(values.get("seeds", ()))})
        except TypeError as error:
            raise DataError(f"{path} is not the record of a comparison: {error}.") from error

    def write(self, path: Path) -> None:
        """Write `compare.json`, whole or not at all."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")
