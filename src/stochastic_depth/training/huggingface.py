"""Stochastic depth in the `Trainer` of Hugging Face transformers (extra: `huggingface`).

    handle = sd.apply(model, sd.schedules.linear(0.8))
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[StochasticDepth(handle)])

Accelerate needs no callback: `accelerator.register_for_checkpointing(handle)` saves the
handle with the rest, and restores it.
"""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..surgery import Handle
from ._depth_config import Moving, set_survival

__all__ = ["StochasticDepth"]


class StochasticDepth(TrainerCallback):
    """Tie the gates to the step of a `Trainer`, and the probabilities to a curriculum.

    The micro-batches of a step have a draw each. A training that is resumed draws the
    gates that the uninterrupted one would have drawn.

    Args:
        handle: what `sd.apply` returned.
        curriculum: progress in [0, 1] -> survival probabilities, or one for all blocks;
            or simply that one; None leaves those of the handle.
    """

    def __init__(self, handle: Handle, curriculum: Moving | None = None) -> None:
        self.handle = handle
        self.curriculum = curriculum

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
