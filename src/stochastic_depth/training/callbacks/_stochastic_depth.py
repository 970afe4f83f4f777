"""Ties the gates to the step, and the probabilities to the curriculum."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.hooks import RemovableHandle

from ..._checks import count
from ..._typing import Gates
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
        passes: forward passes of a step, such as those that gradients are accumulated over.
        fresh: whether each of them has gates of its own, or all those of the first.

    Attributes:
        first: number of the first draw of the step.
        drawn: the gates of each forward pass of the step.
        law: that they were drawn from.
    """

    def __init__(
        self,
        handle: Handle,
        curriculum: Curriculum | None = None,
        *,
        passes: int = 1,
        fresh: bool = True,
    ) -> None:
        self.handle = handle
        self.curriculum = curriculum
        self.passes = count("passes", passes)
        self.fresh = fresh
        self.drawn: list[Gates] = []
        self.law = handle.law
        self.first = 0
        self._hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at every forward pass of the model from now on."""
        model = self.handle.model
        self._hooks = [
            model.register_forward_pre_hook(self._before),
            model.register_forward_hook(self._after),
        ]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the step, and the probabilities where they move."""
        self.drawn = []
        self.handle.step = trainer.global_step * (self.passes if self.fresh else 1)
        self.first = self.handle.step
        self._move(trainer)
        self.law = self.handle.law

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Evaluate at the probabilities of the steps done: in the end, at those of the end."""
        self._move(trainer)

    def _move(self, trainer: Trainer) -> None:
        if self.curriculum is not None:
            progress = trainer.global_step / trainer.estimated_stepping_batches
            self.handle.survival = self.curriculum(min(1.0, progress))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the model as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before(self, model: torch.nn.Module, inputs: Any) -> None:
        if model.training and not self.fresh:
            self.handle.step = self.first

    def _after(self, model: torch.nn.Module, inputs: Any, output: Any) -> None:
        if model.training and self.handle.gates is not None:
            self.drawn.append(self.handle.gates)
