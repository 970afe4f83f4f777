"""Callbacks for a Lightning `Trainer` of your own.

    handle = sd.apply(model, sd.schedules.linear(0.8))
    trainer = Trainer(callbacks=[StochasticDepth(handle)])

`huggingface` has the one for the `Trainer` of transformers. The program itself needs
neither: its loop is in `_loop`.
"""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.hooks import RemovableHandle

from .._checks import count
from ..surgery import Handle
from ._depth_config import Moving, set_survival
from ._sense import SenseSchedule

__all__ = ["SenseMode", "StochasticDepth"]


class StochasticDepth(Callback):
    """Draw the gates of a batch from the stream of its number.

    Use it beside `sd.apply` in any Lightning training: a run that is resumed then
    draws the gates that the uninterrupted run would have drawn. Batches are counted from
    the beginning of training, whatever the optimizers make of them.

    Args:
        handle: what `sd.apply` returned.
        curriculum: progress in [0, 1] -> survival probabilities, or one for all blocks;
            or simply that one; None leaves those of the handle.
        passes: forward passes of the model in one `training_step`.
        fresh: whether every forward pass has gates of its own, also those that gradients are
            accumulated over; or all those of a step of the optimizer have the same.
    """

    def __init__(
        self,
        handle: Handle,
        curriculum: Moving | None = None,
        *,
        passes: int = 1,
        fresh: bool = True,
    ) -> None:
        self.handle = handle
        self.curriculum = curriculum
        self.passes = count("passes", passes)
        self.fresh = fresh
        self._first = 0  # number of the first draw of the batch
        self._hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at every forward pass of the model, where all of a step have the same gates."""
        if not self.fresh:
            self._hooks = [self.handle.model.register_forward_pre_hook(self._again)]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the number of the draw, and the probabilities where they move."""
        # The step of the optimizer stands still while gradients are accumulated, and jumps
        # where several optimizers take turns; the batches that were begun do neither.
        batches = trainer.fit_loop.total_batch_idx
        self._first = batches * self.passes if self.fresh else trainer.global_step
        self.handle.step = self._first
        self._move(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate at the probabilities of the steps done: in the end, at those of the end."""
        self._move(trainer)

    def _move(self, trainer: Trainer) -> None:
        if self.curriculum is not None:
            progress = trainer.global_step / trainer.estimated_stepping_batches
            set_survival(self.handle, self.curriculum, progress)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the model as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _again(self, model: torch.nn.Module, inputs: Any) -> None:
        if model.training:
            self.handle.step = self._first


class SenseMode(SenseSchedule, Callback):
    """Refit the schedule to the sensitivities as training goes on, see `SenseSchedule`."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Refit the schedule if it is time."""
        self.refit(trainer.global_step)
