"""How far the runs of a comparison are, on the terminal."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ._jobs import Job


class Progress:
    """One bar for all epochs of all runs, and a line for each run that ends.

    Args:
        jobs: The runs to do.
        console: Where to draw; nothing moves where it is not a terminal.
    """

    def __init__(self, jobs: Iterable[Job], console: Console) -> None:
        self._epochs: dict[str, int] = {}
        self._lengths = {job.key: job.config.epochs for job in jobs}
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._total = self._bars.add_task(
            f"{len(self._lengths)} runs", total=sum(self._lengths.values())
        )
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
            self._bars.console.print("Stopped. Asking for the same again goes on from here.")

    def started(self, job: Job) -> None:
        """Show the bar of a run."""
        self._tasks[job.key] = self._bars.add_task(job.key, total=job.config.epochs)

    def look(self, jobs: Iterable[Job]) -> None:
        """Move the bars to the epochs that the runs have recorded."""
        for job in jobs:
            self._epochs[job.key] = epochs_recorded(job)
            if job.key in self._tasks:
                self._bars.update(self._tasks[job.key], completed=self._epochs[job.key])
        self._bars.update(self._total, completed=sum(self._epochs.values()))

    def ended(self, job: Job, failure: str) -> None:
        """Take the bar away and leave a line."""
        self.look([job])
        self._epochs[job.key] = job.config.epochs
        if job.key in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.key))
        self._ended += 1
        self._failed += bool(failure)
        failed = f", {self._failed} failed" if self._failed else ""
        description = f"{self._ended} of {len(self._lengths)} runs{failed}"
        self._bars.update(self._total, description=description)
        outcome = f"failed: {failure}" if failure else "finished"
        self._bars.console.print(f"{job.key} {outcome}", markup=False, highlight=False)


def epochs_recorded(job: Job) -> int:
    """Return how many epochs a run has recorded so far."""
    metrics = job.directory / "metrics.csv"
    return max(0, len(metrics.read_bytes().splitlines()) - 1) if metrics.exists() else 0
