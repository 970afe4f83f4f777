"""Stochastic depth in the `Trainer` of Hugging Face transformers (extra: `huggingface`).

    handle = sd.apply(model, sd.schedules.linear(0.8))
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[StochasticDepth(handle)])

Accelerate needs no callback: `accelerator.register_for_checkpointing(handle)` saves the
handle with the rest, and restores it.
"""

from contextlib import ExitStack
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..surgery import Handle
from ._depth_config import Moving, set_survival
from .early_exit import EarlyExits, ExitCurriculum, Rotational

__all__ = ["EarlyExit", "StochasticDepth"]


class StochasticDepth(TrainerCallback):
    """Tie the gates to the step of a `Trainer`, and the probabilities to a curriculum.

    The micro-batches of a step have a draw each. A training that is resumed from a
    `checkpoint-*` draws the gates that the uninterrupted one would have drawn. What the
    `Trainer` logs of the training has two entries more: `depth/active`, the mean number of
    blocks that ran since the last line, and `depth/survival_last`, the survival probability of
    the last block. They are in `state.log_history`; a tracker sees them if its callback comes
    after this one.

    Args:
        handle: what `sd.apply` returned.
        curriculum: progress in [0, 1] -> survival probabilities, or one for all blocks;
            or simply that one; None leaves those of the handle.
    """

    def __init__(self, handle: Handle, curriculum: Moving | None = None) -> None:
        self.handle = handle
        self.curriculum = curriculum
        self._active: list[float] = []

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Set the number of the next draw, and the probabilities where they move."""
        self.handle.step = state.global_step * args.gradient_accumulation_steps
        if self.curriculum is not None:
            set_survival(self.handle, self.curriculum, state.global_step / state.max_steps)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Count the blocks that ran for a micro-batch."""
        gates = self.handle.gates
        if gates is not None:
            self._active.append(float((gates != 0).double().sum(0).mean()))

    on_step_end = on_substep_end

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Add the active depth and the survival of the last block to the line."""
        if not self._active:
            return
        depth = {
            "depth/active": sum(self._active) / len(self._active),
            "depth/survival_last": float(self.handle.survival[-1]),
        }
        self._active = []
        state.log_history[-1].update(depth)
        if logs is not None:
            logs.update(depth)


class EarlyExit(TrainerCallback):
    """Train a decoder with a loss at every layer; see `early_exit.early_exit`.

    Args:
        model: what the `Trainer` trains.
        curriculum: which layers have a loss in a step.
        scale: weight of early layers.
        norm: path of the norm before the head.
    """

    def __init__(
        self,
        model: nn.Module,
        curriculum: ExitCurriculum | None = None,
        *,
        scale: float = 1.0,
        norm: str | None = None,
    ) -> None:
        self.exits = EarlyExits(model, curriculum or Rotational(), scale, norm)
        self._attached = ExitStack()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Change the loss."""
        self._attached.close()  # of a training that was broken off
        self.exits.steps = state.max_steps
        self._attached.enter_context(self.exits.attached())

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Set the number of the step."""
        self.exits.step = state.global_step

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave the model as it was."""
        self._attached.close()
