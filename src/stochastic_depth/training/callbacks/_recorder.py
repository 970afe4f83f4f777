"""Measures training: what goes into `metrics.csv`, `gates.npy` and the loggers."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.parallel import DistributedDataParallel

from .._config import RunConfig
from .._depth_record import DepthRecord
from .._evaluate import evaluate
from .._finite import check_finite
from .._history import Evaluation, History
from .._processes import Place, from_first, gathered
from .._running_mean import RunningGradient, RunningScore, Score
from .._stopwatch import Stopwatch
from ..data import Batches
from ._step_gates import StepGates


class Recorder(Callback):
    """Write one row per epoch, and evaluate when it is time.

    A step costs a few small kernels: sums stay on the device, and are read, checked and
    written once per epoch.

    Args:
        directory: of the run.
        config: of the run.
        validation: images that choose the epoch; may be empty.
        test: images to report; may be empty.
        depth: takes the gates.
        gradient: takes the gradients.
        rate: step -> learning rate.
        gates: the gates of every step; None at constant depth.
    """

    def __init__(
        self,
        directory: Path,
        config: RunConfig,
        *,
        validation: Batches,
        test: Batches,
        depth: DepthRecord,
        gradient: RunningGradient,
        rate: Callable[[int], float],
        gates: StepGates | None,
    ) -> None:
        self.directory = directory
        self.config = config
        self.validation = validation
        self.test = test
        self.depth = depth
        self.gradient = gradient
        self.rate = rate
        self.gates = gates
        self.score = RunningScore()
        self.history = History()
        self.watch = Stopwatch()
        self.step = 0  # steps recorded
        self.sent: int | None = None  # bytes of gradients since the last start

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, also where a run is resumed within an epoch."""
        self.watch.start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock anew: what happens between epochs is not training."""
        self.watch.start()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add one step, without waiting for the device."""
        self.step = trainer.global_step
        self.score.add(outputs["loss"], outputs["logits"], batch[1])
        if self.gates is not None:
            self.depth.add(self.step - 1, self.gates.shares(batch_idx))
        # A dropped block may have zeros for a gradient; they are not a measurement.
        if self.depth.active[self.step - 1, :1].any():
            self.gradient.add()
        every = self.config.evaluate_every_steps
        if every is not None and self.step % every == 0:
            with self.watch.paused():
                self._evaluate(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate if it is time, and write the row of the epoch."""
        train = self._train_columns()
        epoch = trainer.current_epoch + 1
        if epoch % self.config.evaluate_every == 0 or epoch == self.config.epochs:
            self._evaluate(trainer, pl_module)
        evaluation = asdict(self.history.during(epoch))
        depth = self._depth_columns(self.step - int(trainer.num_training_batches), self.step)
        place = {"epoch": epoch, "step": self.step, "lr": self.rate(self.step - 1)}
        self.history.rows.append(evaluation | train | depth | place)
        if trainer.is_global_zero:
            self.history.write(self.directory)
        measured = {k: v for k, v in self.history.rows[-1].items() if v is not None}
        for logger in trainer.loggers:
            logger.log_metrics(measured, step=self.step)

    def _evaluate(self, trainer: Trainer, module: LightningModule) -> None:
        if self.history.last_step == self.step:
            return  # the end of an epoch, and a step at which one was due
        images = (self.validation, self.test)
        scores = [_evaluated(module, batches) if len(batches) else None for batches in images]
        for score in scores:
            if score is not None:
                check_finite("loss of the evaluation", score.loss, self.step)
        evaluation = Evaluation.of(trainer.current_epoch + 1, self.step, *scores)
        self.history.evaluations.append(evaluation)

    def _train_columns(self) -> dict[str, float | None]:
        everywhere = gathered(self.score.state_dict())
        score, gradient = RunningScore.merged(everywhere).read(), self.gradient.read()
        self.score = RunningScore()
        seconds = self.watch.read()
        check_finite("training loss", score.loss, self.step)
        return {
            "train_loss": score.loss,
            "train_error": score.error,
            "seconds": round(seconds, 4),
            "gradient_first_convolution": gradient,
        }

    def _depth_columns(self, start: int, stop: int) -> dict[str, float]:
        expected, realised = self.depth.expected(start, stop), self.depth.realised(start, stop)
        return {
            "expected_depth": expected.blocks,
            "realised_depth": realised.blocks,
            "expected_cost": expected.cost,
            "realised_cost": realised.cost,
        }

    def write_gates(self) -> None:
        """Write the gates of the steps so far, where any were drawn."""
        if self.gates is not None and Place.here().writes:
            self.depth.write(self.directory / "gates.npy", self.step)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been measured, the running means of the epoch included."""
        everywhere = gathered(self.score.state_dict())
        return {
            "history": self.history.state_dict(),
            "score": RunningScore.merged(everywhere).state_dict(),
            "gradient": self.gradient.state_dict(),
            "seconds": self.watch.seconds,
            "step": self.step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what a checkpoint had measured."""
        self.history.load_state_dict(state_dict["history"])
        if Place.here().writes:  # one process goes on with the score of all
            self.score.load_state_dict(state_dict["score"])
        self.gradient.load_state_dict(state_dict["gradient"])
        self.watch.seconds = state_dict["seconds"]
        self.step = state_dict["step"]
        if self.gates is not None:
            self.depth.read(self.directory / "gates.npy", self.step)


def _evaluated(module: LightningModule, images: Batches) -> Score:
    """Evaluate once for all processes; a sharded network is run by all of them together."""
    replicated = isinstance(module.trainer.model, DistributedDataParallel)
    if replicated and not module.trainer.is_global_zero:
        return from_first(Score(0.0, 0.0))
    return from_first(evaluate(module, images))
