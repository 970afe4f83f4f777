"""When checkpoints are written."""

import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from .._checkpoint_io import BEST, LAST
from .._config import RunConfig
from .._finite import check_finite_state
from ._recorder import Recorder


class Checkpoints(Callback):
    """Write `last.ckpt` at the end of epochs and between, and `best.ckpt`.

    What is written is finite, and is on the disk whole or not at all. After SIGTERM the
    step is finished and a checkpoint written, whereupon Lightning leaves; of several
    processes each leaves at once, and the last checkpoint is what there is.

    Args:
        directory: of the checkpoints.
        config: says when.
        recorder: measures the run; it stands before this in the list of callbacks.
    """

    def __init__(self, directory: Path, config: RunConfig, recorder: Recorder) -> None:
        self.directory = directory
        self.config = config
        self.recorder = recorder

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave at once on SIGTERM where other processes may wait for this one."""
        if trainer.world_size > 1:
            # Lightning's handler would talk to them in the middle of what they exchange.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write within an epoch; its end has a hook of its own."""
        if batch_idx + 1 == trainer.num_training_batches:
            return
        every = self.config.checkpoint_every_steps
        due = every is not None and trainer.global_step % every == 0
        if due or trainer.received_sigterm or self._is_best(trainer):
            with self.recorder.watch.paused():
                self._save(trainer, pl_module, last=due or trainer.received_sigterm)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write at the end of an epoch."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.config.checkpoint_every == 0 or epoch == self.config.epochs
        self._save(trainer, pl_module, last=due or trainer.received_sigterm)

    def _is_best(self, trainer: Trainer) -> bool:
        best = self.recorder.history.best
        return best is not None and best.step == trainer.global_step

    def _save(self, trainer: Trainer, module: LightningModule, *, last: bool) -> None:
        best = self._is_best(trainer)
        if best or last:
            check_finite_state(module, trainer.global_step)
        if best:
            trainer.save_checkpoint(self.directory / BEST, weights_only=True)
        if last:
            # The gates first: a checkpoint never stands without those of its steps.
            self.recorder.write_gates()
            trainer.save_checkpoint(self.directory / LAST, weights_only=False)
