"""`sdepth rate`: which survival for these data and this time."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from .. import training
from ._outcome import print_place, terminal, write_json


def rate(
    config: training.RunConfig,
    out: Path | None = None,
    grid: list[str] | None = None,
    seeds: int = 5,
    equal: Literal["epochs", "time"] = "epochs",
    worth: float = 1.0,
    on: Literal["local", "ray"] = "local",
    parallel: int | None = None,
    address: str | None = None,
    json: Path | None = None,
) -> int:
    """Find which survival a network should have on these data, or that it should have none.

    Constant depth trains first. If the gap between training and validation error is smaller than
    what is worth having, that is the answer: this network does not overfit here. Otherwise
    schedules and budgets compete by successive halving over seeds, and the best is judged beside
    constant depth on seeds that had no part in the choice. The same command goes on where an
    earlier one was stopped.

    Example: sdepth rate timm/resnet18 --data FOLDER

    Args:
        config: the recipe; --seed is the first seed.
        out: directory of the runs, of the study study.db, and of rate.html; by default in
            runs, named after the recipe.
        grid: candidates FIELD=VALUE,VALUE or FIELD=FIRST:LAST:STEP, as in sweep; by default
            schedule=uniform,linear budget=0.6,0.75,0.9.
        seeds: fresh seeds that judge the choice.
        equal: what all candidates have, as many epochs or as much time.
        worth: the smallest gain in points of error worth having.
        on: processes of this machine, or tasks of Ray.
        parallel: runs at a time on this machine; by default one per core.
        address: of a Ray cluster; by default one is started on this machine.
        json: also write the answer here.

    Returns:
        0, or 1 if a run failed.
    """
    from .. import experiments, reports

    out = Path("runs") / f"rate-{config.name}" if out is None else out
    found = experiments.rate(
        config,
        out,
        grid=experiments.parse_grid(grid) if grid else experiments.CANDIDATES,
        seeds=seeds,
        equal=equal,
        worth=worth,
        on=on,
        processes=parallel,
        address=address,
        command=shlex.join(["sdepth", *sys.argv[1:]]),
    )
    reports.print_rate(found, terminal())
    page = out / "rate.html"
    reports.write_rate(found, page)
    print_place(page)
    write_json(found.record(), json)
    return int(bool(found.comparison.failures))
