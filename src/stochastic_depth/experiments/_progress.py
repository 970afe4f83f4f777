"""How far the runs of a study are, on the terminal."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Progress:
    """One bar for all epochs of all runs, and a line for each run that ends.

    Args:
        lengths: Epochs of each run to do, by its key.
        console: Where to draw; nothing moves where it is not a terminal.
    """

    def __init__(self, lengths: Mapping[str, int], console: Console) -> None:
        self._lengths = lengths
        self._epochs = dict.fromkeys(lengths, 0)
        self._bars = Bars(
            TextColumn("{task.description}"),
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
            self._bars.console.print("Stopped. Asking for the same again goes on from here.")

    def look(self, key: str, epochs: int, *, begun: bool) -> None:
        """Move the bar of a run to the epochs that it has recorded."""
        if begun and key not in self._tasks:
            self._tasks[key] = self._bars.add_task(key, total=self._lengths[key])
        self._move(key, epochs)

    def ended(self, key: str, failure: str) -> None:
        """Take the bar of a run away and leave a line."""
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
