"""Ties the gates to the step, and the probabilities to the curriculum."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ...curricula import Curriculum
from ...surgery import Handle


class StochasticDepth(Callback):
    """Draw the gates of step t from the stream of (seed, t).

    Use it beside `sd.apply` in any Lightning training: a run that is resumed then
    draws the gates that the uninterrupted run would have drawn.

    Args:
        handle: what `sd.apply` returned.
        curriculum: progress in [0, 1] -> survival probabilities; None leaves those of
            the handle.
    """

    def __init__(self, handle: Handle, curriculum: Curriculum | None = None) -> None:
        self.handle = handle
        self.curriculum = curriculum

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the step, and the probabilities where they move."""
        self.handle.step = trainer.global_step
        if self.curriculum is not None:
            progress = trainer.global_step / trainer.estimated_stepping_batches
            self.handle.survival = self.curriculum(progress)
