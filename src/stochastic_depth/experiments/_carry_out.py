"""Carry out the missing runs of a study, and show their progress."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from .._errors import DataError
from ._jobs import PLAN_FILE, Job, Plan, RunOne

GLANCE = 0.3  # seconds between two looks at the progress of the runs


class Executor(Protocol):
    """Carries out runs; after its `with` block none is left running."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def submit(self, run_one: RunOne, job: Job) -> Future[Any]:
        """Do a run as soon as there is room; jobs start in the order of submission."""
        ...

    def explain(self, error: BaseException, job: Job) -> str:
        """Return in one line why a run failed whose future raised `error`."""
        ...


class Progress:
    """One bar for all epochs of all runs, and a line for each run that ends.

    Args:
        lengths: Epochs of each run to do, by its key.
        console: Where to draw; without a terminal nothing moves.
    """

    def __init__(self, lengths: Mapping[str, int], console: Console) -> None:
        self._lengths = lengths
        self._epochs = dict.fromkeys(lengths, 0)
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._total = self._bars.add_task(f"{len(lengths)} runs", total=sum(lengths.values()))
        self._tasks: dict[str, TaskID] = {}  # of the runs that are known to have begun
        self._ended = self._failed = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
        if kind is KeyboardInterrupt:
            self._bars.console.print("Stopped. Run the same command again to resume.")

    def look(self, key: str, epochs: int, *, begun: bool) -> None:
        """Move the bar of a run to the epochs that it has recorded."""
        if begun and key not in self._tasks:
            self._tasks[key] = self._bars.add_task(key, total=self._lengths[key])
        self._move(key, epochs)

    def ended(self, key: str, failure: str) -> None:
        """Replace the bar of a run by a line."""
        self._move(key, self._lengths[key])
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))
        self._ended += 1
        self._failed += bool(failure)
        failed = f", {self._failed} failed" if self._failed else ""
        description = f"{self._ended} of {len(self._lengths)} runs{failed}"
        self._bars.update(self._total, description=description)
        outcome = f"failed: {failure}" if failure else "finished"
        self._bars.console.print(f"{key} {outcome}", markup=False, highlight=False)

    def _move(self, key: str, epochs: int) -> None:
        self._epochs[key] = epochs
        if key in self._tasks:
            self._bars.update(self._tasks[key], completed=epochs)
        self._bars.update(self._total, completed=sum(self._epochs.values()))


def carry_out(
    plan: Plan,
    jobs: Sequence[Job],
    out: Path,
    executor: Executor,
    run_one: RunOne | None,
    console: Console | None,
) -> dict[str, str]:
    """Do the unfinished jobs, even if some fail, and write the plan with the failures.

    Args:
        plan: What the jobs were made from.
        jobs: Finished ones are skipped.
        out: Directory of the plan.
        executor: Carries out the runs.
        run_one: Does one run; `training.train` by default.
        console: Where progress is shown; the standard error by default.

    Returns:
        The failures, by the key of the job.

    Raises:
        RunDirectoryInUse: The directory of a job holds a run of another configuration.
        DataError: No run started; the message says why the first did not.
    """
    todo = [job for job in jobs if not job.is_done()]
    out.mkdir(parents=True, exist_ok=True)
    plan.write(out / PLAN_FILE)
    lengths = {job.key: job.config.epochs for job in todo}
    with (
        Progress(lengths, console or Console(stderr=True, markup=False, emoji=False)) as progress,
        executor,
    ):
        futures = {executor.submit(run_one or _training(), job): job for job in todo}
        failures = _failures(executor, futures, progress)
    replace(plan, failures=failures).write(out / PLAN_FILE)
    if failures and not any((job.directory / "run.json").exists() for job in jobs):
        key, failure = next(iter(failures.items()))
        raise DataError(f"Of {len(jobs)} runs none began. {key}: {failure}")
    return failures


def _training() -> RunOne:
    from ..training import train  # takes seconds, and not every caller trains

    return train


def _failures(
    executor: Executor, futures: dict[Future[Any], Job], progress: Progress
) -> dict[str, str]:
    """Wait for all runs and return the failures, by the key of the job."""
    failures: dict[str, str] = {}
    while futures:
        ended, _ = wait(futures, timeout=GLANCE, return_when=FIRST_COMPLETED)
        for future, job in futures.items():
            progress.look(job.key, job.epochs_recorded(), begun=future.running())
        for future in ended:
            job, error = futures.pop(future), future.exception()
            if error is not None:
                failures[job.key] = executor.explain(error, job)
            progress.ended(job.key, failures.get(job.key, ""))
    return failures
