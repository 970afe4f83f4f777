"""Doing what a plan says: only what is missing, whatever fails, and the record of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from .._errors import DataError
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


def _check_any(jobs: Sequence[Job], failures: Mapping[str, str]) -> None:
    """Refuse to report on nothing at all."""
    if failures and not any((job.directory / "run.json").exists() for job in jobs):
        key, failure = next(iter(failures.items()))
        raise DataError(f"Of {len(jobs)} runs none began. {key}: {failure}")
