"""Train variants of one recipe against each other, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from .._checks import count, fail
from ..training import RunConfig, override, train
from ._carry_out import carry_out
from ._comparison import Comparison
from ._jobs import all_jobs, by_name
from ._planning import make_plan
from ._processes import RunOne, run_all
from ._variants import check_variants


def compare(
    config: RunConfig,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: str | Path,
    *,
    processes: int | None = None,
    command: str = "",
    console: Console | None = None,
    run_one: RunOne = train,
) -> Comparison:
    """Train every variant with every seed and set the results side by side.

    One seed is one draw of images, initial weights and order of batches, which all variants
    share; they train side by side or right after each other, so differences of error and of
    time can be taken seed by seed. Asking again goes on where it stopped.

    Args:
        config: The recipe.
        variants: Overridden fields of each variant, by its name; the first is the baseline.
        seeds: Distinct seeds, at least 0.
        out: Directory for `VARIANT/seed-K/`, one run each.
        processes: Runs at a time, among which the cores are shared out; by default one for
            each core, or one at a time on a GPU.
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
    check_variants(variants)
    _check_seeds(seeds)
    out = Path(out)
    plan = make_plan(config, variants, seeds, processes=processes, command=command)
    base = replace(config, threads=plan.threads)
    configs = {name: override(base, fields) for name, fields in variants.items()}
    jobs = list(all_jobs(configs, seeds, by_name(out), command))
    carry_out(plan, jobs, out, partial(run_all, run_one=run_one, processes=plan.processes), console)
    return Comparison.read(out)


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds:
        raise fail("seeds", "at least one", "none")
    for seed in seeds:
        count("seeds", seed, least=0)
    if len(set(seeds)) < len(seeds):
        raise fail("seeds", "distinct", list(seeds))
