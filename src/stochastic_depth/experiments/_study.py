"""The two studies: variants of a recipe against each other, and every cell of a grid."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console

from .._checks import count, fail, one_of
from ..training import RunConfig, override
from ..training.run_record import RunRecord
from ._carry_out import Executor, carry_out
from ._comparison import Comparison, in_order
from ._configurations import flatten
from ._executors import LocalExecutor, RayExecutor
from ._grid import SEED, Grid, axes, cell_name, cells, overrides
from ._jobs import (
    LOGS,
    PLAN_FILE,
    Plan,
    RunOne,
    all_jobs,
    by_identity,
    by_name,
    make_plan,
)
from ._sweep_tables import Sweep

Where = Literal["local", "ray"]

# A reader's first question: is it better than not doing it?
CONSTANT_AGAINST_STOCHASTIC: Mapping[str, Mapping[str, Any]] = {
    "constant": {"depth.enabled": False},
    "stochastic": {"depth.enabled": True},
}


def compare(
    config: RunConfig,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: str | Path,
    *,
    processes: int | None = None,
    command: str = "",
    console: Console | None = None,
    run_one: RunOne | None = None,
) -> Comparison:
    """Train every variant with every seed and compare the results.

    One seed is one draw of images, initial weights and order of batches, which all variants
    share; they train side by side or right after each other, so errors and times can be
    compared seed by seed. Calling it again resumes where it stopped.

    Args:
        config: The recipe.
        variants: Overridden fields of each variant, by its name; the first is the baseline.
        seeds: Distinct seeds, at least 0.
        out: Directory for `VARIANT/seed-K/`, one run each.
        processes: Runs at a time, which share the cores; by default one for each core, or
            one at a time on a GPU.
        command: The command line, to be recorded.
        console: Where progress is shown; the standard error by default.
        run_one: Does one run, in a process of its own.

    Returns:
        The comparison of all runs in `out`.

    Raises:
        InvalidArgument: A variant overrides no field of a run, or a seed is given twice.
        RunDirectoryInUse: `out` holds runs of another configuration.
        DataError: No run began; the message says why the first did not.
    """
    _check_variants(variants)
    _check_seeds(seeds)
    out = Path(out)
    plan = make_plan(config, variants, seeds, processes=processes, command=command)
    base = replace(config, threads=plan.threads)
    configs = {name: override(base, fields) for name, fields in variants.items()}
    jobs = list(all_jobs(configs, seeds, by_name(out), command))
    carry_out(plan, jobs, out, LocalExecutor(plan.processes), run_one, console)
    return Comparison.read(out)


def sweep(
    config: RunConfig,
    grid: Grid,
    out: str | Path,
    *,
    on: Where = "local",
    processes: int | None = None,
    address: str | None = None,
    command: str = "",
    console: Console | None = None,
    run_one: RunOne | None = None,
) -> Sweep:
    """Train every cell of a grid with every seed, and read the results into tables.

    A run is identified by the hash of its resolved configuration, and its directory is
    `out/runs/HASH`: calling it again, even for a larger grid, does what is missing and
    resumes what was interrupted. A run that fails is listed with its error; the others
    continue.
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
    carry_out(plan, jobs, out, executor(on, plan.processes, address), run_one, console)
    return _read([job.directory for job in jobs], out)


def parse_variant(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the overrides of a variant written as `NAME FIELD=VALUE ...`.

    Args:
        text: The name, then the fields it overrides; quotes protect spaces, as in a shell.

    Returns:
        The name and the values by dotted field.

    Raises:
        InvalidArgument: There is no name, or a word after it is not `FIELD=VALUE`.

    Example:
        >>> parse_variant("uniform depth.schedule=uniform depth.last=0.7")
        ('uniform', {'depth.schedule': 'uniform', 'depth.last': '0.7'})
    """
    requirement, remedy = "NAME FIELD=VALUE ...", 'Write --variant "NAME FIELD=VALUE ...".'
    name, *assignments = shlex.split(text) or [""]
    overrides = dict(assignment.partition("=")[::2] for assignment in assignments)
    if not name or "=" in name or not all(f and v for f, v in overrides.items()):
        raise fail("--variant", requirement, repr(text), remedy)
    return name, overrides


def _check_variants(variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse names that cannot be directories, and an empty comparison."""
    if not variants:
        raise fail("variants", "at least one", "none")
    for name in variants:
        if name in ("", LOGS) or name.startswith(".") or set(name) & set('/\\:*?"<>|'):
            raise fail("variant", "a name that can be a directory", repr(name))


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds:
        raise fail("seeds", "at least one", "none")
    for seed in seeds:
        count("seeds", seed, least=0)
    if len(set(seeds)) < len(seeds):
        raise fail("seeds", "distinct", list(seeds))


def executor(on: Where, processes: int, address: str | None) -> Executor:
    """Return the executor; refuse what is unavailable before anything is written."""
    if one_of("on", on, get_args(Where)) == "ray":
        return RayExecutor(address)
    if address is not None:
        raise fail("address", "left out for a sweep on this machine", address, "Pass on='ray'.")
    return LocalExecutor(processes)


def _read(directories: Sequence[Path], out: Path) -> Sweep:
    """Return the runs that started, in the order of the cells, and write the tables."""
    plan = Plan.read(out / PLAN_FILE)
    runs = [RunRecord.read(path) for path in directories if (path / "run.json").exists()]
    swept = Sweep(Comparison(in_order(runs, tuple(plan.variants)), plan))
    swept.write(out)
    return swept
