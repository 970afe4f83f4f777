"""The results of a sweep as tables: of runs, of cells, and of contrasts along each axis."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from .._errors import DataError
from .._files import write_text
from ._comparison import COMPARED, Comparison, name_of
from ._jobs import Plan


@dataclass(frozen=True)
class Sweep:
    """The runs of a grid.

    Args:
        comparison: The runs; the variants are the cells of the grid of its plan.

    Raises:
        DataError: The runs are not those of a grid.
    """

    comparison: Comparison

    def __post_init__(self) -> None:
        """Refuse runs that do not come from a sweep."""
        if not self.plan.grid:
            raise DataError("These runs are not those of a grid. Pass the directory of a sweep.")

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return self.comparison.plan or Plan("", {}, (), 1, 1)

    @cached_property
    def axes(self) -> dict[str, str]:
        """Full name of each axis but the seeds, by the name of its column."""
        fields = [field for field in self.plan.grid if field != "seed"]
        short = [field.rpartition(".")[2] for field in fields]
        return {
            name if short.count(name) == 1 else field: field
            for field, name in zip(fields, short, strict=True)
        }

    @property
    def decided_by(self) -> str:
        """Name of the test error that decides."""
        return name_of(self.comparison.test_error)

    def runs(self) -> pl.DataFrame:
        """Return one row per run: its cell, seed, status and figures."""
        records = {run.key: run for run in self.comparison.runs}
        rows = []
        for variant in self.plan.variants:
            for seed in self.plan.seeds:
                key = f"{variant}/seed-{seed}"
                run = records.get(key)
                fate = {
                    "identity": run and run.directory.name,
                    "status": run.status if run else "failed",
                    "error": self.comparison.failures.get(key),
                }
                figures = {name: of(run) if run else None for name, of in COMPARED.items()}
                rows.append({**self._place(variant), "seed": seed, **fate, **figures})
        texts = dict.fromkeys(("identity", "status", "error"), pl.String)
        return pl.DataFrame(rows, schema_overrides=texts | dict.fromkeys(COMPARED, pl.Float64))

    def cells(self) -> pl.DataFrame:
        """Return one row per cell: how many runs finished, mean and deviation of each measure."""
        spreads = [
            statistic
            for name in COMPARED
            for statistic in (
                pl.col(name).mean().alias(f"{name}_mean"),
                pl.col(name).std().alias(f"{name}_std"),
            )
        ]
        finished = (pl.col("status") == "finished").sum().alias("n")
        runs, axes = self.runs(), list(self.axes)
        if not axes:  # seeds alone: one cell
            return runs.select(finished, *spreads)
        return runs.group_by(axes, maintain_order=True).agg(finished, *spreads)

    def contrasts(self) -> pl.DataFrame:
        """Return every value of each axis against the first, all else equal.

        `difference` is the mean of `first - value` of the test error over the seeds that both
        finished, in points: positive where the value is better. `low` and `high` are its 95 %
        interval by Student's t, and `p` its two-sided p, from two seeds on; neither is
        corrected for the number of comparisons.
        """
        schema = {
            **dict.fromkeys(("axis", "at", "baseline", "value"), pl.String),
            **dict.fromkeys(("difference", "low", "high"), pl.Float64),
            "n": pl.Int64,
            **dict.fromkeys(("std", "p"), pl.Float64),
            **dict.fromkeys(("wins", "losses"), pl.Int64),
        }
        return pl.DataFrame(list(self._contrasts()), schema=schema)

    def write(self, out: Path) -> None:
        """Write `runs.csv`, `cells.csv` and `contrasts.csv`."""
        for name in ("runs", "cells", "contrasts"):
            write_text(out / f"{name}.csv", getattr(self, name)().write_csv())

    def _place(self, variant: str) -> dict[str, Any]:
        """Return the values of a cell by column."""
        fields = self.plan.variants[variant]
        return {name: _cell(fields[field]) for name, field in self.axes.items()}

    def _contrasts(self) -> Iterator[dict[str, Any]]:
        for axis in self.axes:
            first: dict[str, str] = {}
            for variant in self.plan.variants:
                place = self._place(variant)
                value = str(place.pop(axis))
                at = " ".join(f"{name}={other}" for name, other in place.items())
                baseline = first.setdefault(at, variant)
                if variant != baseline:
                    sides = {"baseline": str(self._place(baseline)[axis]), "value": value}
                    yield {"axis": axis, "at": at, **sides, **self._difference(variant, baseline)}

    def _difference(self, variant: str, baseline: str) -> dict[str, Any]:
        if not {variant, baseline} <= set(self.comparison.variants):
            return {"n": 0}
        measure = self.comparison.test_error
        difference = self.comparison.difference(variant, measure, baseline)
        if difference is None:
            return {"n": 0}
        spread, (low, high) = difference.spread, difference.interval or (None, None)
        return {
            "difference": spread.mean,
            "low": low,
            "high": high,
            "n": spread.n,
            "std": spread.std if spread.n > 1 else None,
            "p": difference.p,
            "wins": difference.wins,
            "losses": difference.losses,
        }


def _cell(value: Any) -> Any:
    """Return a value that fits in a table."""
    return value if isinstance(value, str | int | float | None) else str(value)
