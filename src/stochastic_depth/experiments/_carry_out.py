"""Doing what a plan says: only what is missing, whatever fails, and the record of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from rich.console import Console

from .._checks import count
from .._errors import DataError
from ..training import RunConfig
from ._jobs import Job
from ._plan import PLAN_FILE, Plan
from ._progress import Progress

RunAll: TypeAlias = Callable[[Sequence[Job], Progress], dict[str, str]]
"""Does jobs, tells of them, and returns what went wrong by the key of the job."""


def carry_out(
    plan: Plan, jobs: Sequence[Job], out: Path, run_all: RunAll, console: Console | None
) -> None:
    """Do the jobs that are not done, and write the plan with what went wrong.

    Args:
        plan: What the jobs were made from.
        jobs: Those that have finished before are passed over.
        out: Directory of the plan.
        run_all: Does them.
        console: Where progress is shown; the standard error by default.

    Raises:
        RunDirectoryInUse: The directory of a job holds a run of another configuration.
        DataError: No run has begun; the message says why the first did not.
    """
    todo = [job for job in jobs if not job.is_done()]
    out.mkdir(parents=True, exist_ok=True)
    plan.write(out / PLAN_FILE)
    with Progress(todo, console or Console(stderr=True)) as progress:
        failures = run_all(todo, progress)
    replace(plan, failures=failures).write(out / PLAN_FILE)
    _check_any(jobs, failures)


def share_out(config: RunConfig, runs: int, processes: int | None) -> tuple[int, int]:
    """Return how many runs train at a time, and the threads of each.

    By default one run for each core, or one on a GPU; the cores are shared out among them.
    """
    if processes is None:
        one_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
        processes = 1 if one_gpu else min(_cores(), runs)
    processes = count("processes", processes)
    return processes, config.threads or max(1, _cores() // processes)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_any(jobs: Sequence[Job], failures: Mapping[str, str]) -> None:
    """Refuse to report on nothing at all."""
    if failures and not any((job.directory / "run.json").exists() for job in jobs):
        key, failure = next(iter(failures.items()))
        raise DataError(f"Of {len(jobs)} runs none began. {key}: {failure}")
