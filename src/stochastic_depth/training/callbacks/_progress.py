"""One line on the terminal that says how far training is."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ._recorder import Recorder

INTERVAL = 0.2  # seconds between two updates: drawing costs more than a small step


class ProgressLine(Callback):
    """Show the steps done, the time left and the figures of the last epoch.

    Args:
        recorder: measures the run.
        title: what is trained.
    """

    def __init__(self, recorder: Recorder, title: str) -> None:
        self.recorder = recorder
        self.title = title
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.bar = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[figures]}"))
        self._shown = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the line."""
        total = int(trainer.estimated_stepping_batches)
        self.task = self.bar.add_task(
            self.title, total=total, completed=trainer.global_step, figures=self._figures()
        )
        self.bar.start()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move on, now and then."""
        now = time.monotonic()
        if now - self._shown > INTERVAL:
            self._shown = now
            self.bar.update(self.task, completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figures of the epoch."""
        self.bar.update(self.task, completed=trainer.global_step, figures=self._figures())

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the line as it is, also after an error."""
        self.bar.stop()

    def _figures(self) -> str:
        if not self.recorder.history.rows:
            return ""
        row = self.recorder.history.rows[-1]
        parts = [f"epoch {row['epoch']}", f"train {row['train_error']:.2f} %"]
        for name in ("validation", "test"):
            error = row[f"{name}_error"]
            if error is not None:
                parts.append(f"{name} {error:.2f} %")
        return " · ".join(parts)
