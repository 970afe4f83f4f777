"""`sdepth sweep`: every cell of a grid, over several seeds, here or on a cluster."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from .. import training
from ._outcome import print_place, terminal, write_json


def sweep(
    config: training.RunConfig,
    grid: list[str],
    out: Path,
    on: Literal["local", "ray"] = "local",
    parallel: int | None = None,
    address: str | None = None,
    json: Path | None = None,
) -> int:
    """Train every cell of a grid over several seeds, and tabulate the results.

    A field is named in full or by its last part; a range includes both ends. A run is known
    by the hash of its resolved configuration: the same command, also with a larger grid, does
    what is missing and goes on with what was broken off. Failed runs are listed with their
    error, and the rest goes on. Writes runs.csv, cells.csv and contrasts.csv; `sdepth report`
    makes the page.

    Example: sdepth sweep demo_digits --grid schedule=uniform,linear,sense
    budget=0.5:1.0:0.1 seed=0:4 --out runs/sweep

    Args:
        config: the recipe.
        grid: axes FIELD=VALUE,VALUE or FIELD=FIRST:LAST:STEP.
        out: directory of the runs and the tables.
        on: processes of this machine, or tasks of Ray.
        parallel: runs at a time on this machine; by default one per core.
        address: of a Ray cluster; by default one is started on this machine.
        json: also write the figures of all runs and cells here.

    Returns:
        0, or 1 if a run failed.
    """
    from .. import experiments, reports

    swept = experiments.sweep(
        config,
        experiments.parse_grid(grid),
        out,
        on=on,
        processes=parallel,
        address=address,
        command=shlex.join(["sdepth", *sys.argv[1:]]),
    )
    reports.print_sweep(swept, terminal())
    print_place(out)
    write_json(experiments.results(swept.comparison), json)
    return int(bool(swept.comparison.failures))
