"""Train every cell of a grid with every seed, on this machine or on many."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console

from .._checks import count, fail, one_of
from ..training import RunConfig, override, train
from ..training.run_record import RunRecord
from ._carry_out import RunAll, carry_out
from ._comparison import Comparison
from ._configuration import flatten
from ._gather import in_order
from ._grid import SEED, Grid, axes, cell_name, cells, overrides
from ._jobs import all_jobs, by_identity
from ._plan import PLAN_FILE, Plan
from ._planning import make_plan
from ._processes import RunOne, run_all
from ._ray import require_ray, run_all_on_ray
from ._sweep_tables import Sweep

Place = Literal["local", "ray"]


def sweep(
    config: RunConfig,
    grid: Grid,
    out: str | Path,
    *,
    on: Place = "local",
    processes: int | None = None,
    address: str | None = None,
    command: str = "",
    console: Console | None = None,
    run_one: RunOne = train,
) -> Sweep:
    """Train every cell of a grid with every seed, and read the results into tables.

    A run is known by the hash of its resolved configuration, and its directory is
    `out/runs/HASH`: asking again, also for a larger grid, does what is missing and goes on
    with what was broken off. A run that fails is listed with its error; the rest goes on.
    One seed is one draw of images, initial weights and order of batches for all cells.

    Args:
        config: The recipe. A run has one thread unless it says otherwise.
        grid: Values by field, which may be named by its last part, such as `budget`. The axis
            `seed` holds the seeds; without it there is one, that of the recipe.
        out: Directory of the runs and the tables.
        on: `"local"` for processes of this machine, or `"ray"`.
        processes: Runs at a time on this machine; by default one for each core, or one at a
            time on a GPU. Ray decides by itself.
        address: Of a Ray cluster whose machines share the file system of `out`; by default one
            is started on this machine.
        command: The command line, to be recorded.
        console: Where progress is shown; the standard error by default.
        run_one: Does one run, in a process of its own.

    Returns:
        The sweep, of the runs of this grid alone.

    Raises:
        InvalidArgument: The grid is empty, a field is unknown, or a value out of range.
        Unsupported: Ray is asked for and not installed.
        DataError: No run began; the message says why the first did not.
    """
    out = Path(out).absolute()
    base = replace(config, threads=config.threads or 1)
    named = axes(grid, list(flatten(base.to_mapping())))
    seeds = [count(SEED, seed, least=0) for seed in named.get(SEED, (config.seed,))]
    variants = {cell_name(cell) or config.name: overrides(cell) for cell in cells(named)}
    configs = {name: override(base, fields) for name, fields in variants.items()}
    jobs = list(all_jobs(configs, seeds, by_identity(out), command))
    plan = make_plan(base, variants, seeds, processes=processes, command=command, grid=named)
    carry_out(plan, jobs, out, _workers(on, run_one, plan.processes, address), console)
    return _read([job.directory for job in jobs], out)


def _workers(on: Place, run_one: RunOne, processes: int, address: str | None) -> RunAll:
    """Return what does the jobs; refuse what cannot be had before anything is written."""
    one_of("on", on, get_args(Place))
    if on == "ray":
        require_ray()
        return partial(run_all_on_ray, run_one=run_one, address=address)
    if address is not None:
        raise fail("address", "left out for a sweep on this machine", address, "Pass on='ray'.")
    return partial(run_all, run_one=run_one, processes=processes)


def _read(directories: Sequence[Path], out: Path) -> Sweep:
    """Return the runs that began, the cells in order, and write the tables."""
    plan = Plan.read(out / PLAN_FILE)
    runs = [RunRecord.read(path) for path in directories if (path / "run.json").exists()]
    swept = Sweep(Comparison(in_order(runs, tuple(plan.variants)), plan))
    swept.write(out)
    return swept
