"""The training loop of a run, from its first step to its last.

    for each epoch
        for each batch
            set the gates and the learning rate; forward, backward, step; measure
            evaluate, and write a checkpoint, where that is due within the epoch
        evaluate where that is due; write the row of the epoch, and a checkpoint

Everything random is a function of the step, or of generators that a checkpoint holds: a run
that goes on from step t ends with the same weights, to the bit.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.func import functional_call

from . import _checkpoint as checkpoints
from ._depth_record import DepthRecord, StepGates
from ._launch import TERMINATED, Ending, Place, by_first, gathered, new_fabric, rejoin
from ._measurements import Measurements, evaluate, mean_loss, wrong
from ._prepare import Prepared, evaluation_batches, training_batches
from ._run_config import RunConfig
from ._run_directory import RunDirectory
from .data import Batches, Examples, ImageSet
from .record import Evaluation, Score, Summary

REDRAW = 0.2  # seconds between two updates of the progress line: drawing costs more than a step


class Training:
    """A run on its way: the network on its device, and how far it has got.

    Args:
        prepared: the run.
        directory: of the run.
        ending: says when to leave early.

    Attributes:
        step: steps done, which is where the run is: of epoch step // len(batches), the next
            batch is step % len(batches).
    """

    def __init__(self, prepared: Prepared, directory: RunDirectory, ending: Ending) -> None:
        self.prepared = prepared
        self.config = config = prepared.config
        self.directory = directory
        self.ending = ending
        self.step = 0
        self._set_up_devices()
        device, splits = self.fabric.device, prepared.splits
        self.batches = training_batches(splits.train.to(device), config, splits.num_classes)
        self.held_out = {
            name: evaluation_batches(getattr(splits, name).to(device), config)
            for name in ("validation", "test")
        }
        self.gates = StepGates(prepared, self.batches)
        self.depth = DepthRecord(
            prepared.num_steps,
            [block.cost for block in prepared.blocks],
            prepared.network_share,
            self.gates.survival,
            in_part=self.gates.in_part,
        )
        self.measured = Measurements(prepared, self.depth)

    def _set_up_devices(self) -> None:
        """Bring the network where it is trained, and share it or its gradients out."""
        config, self.model = self.config, self.prepared.model
        self.fabric = new_fabric(config, self.prepared.blocks, self.directory.path)
        rejoin(self.fabric.device)
        self.fabric.launch()
        self.ending.connect()
        if config.threads is not None:
            torch.set_num_threads(config.threads)  # Fabric divides them among processes
        self.network = self.fabric.setup_module(self.model)
        optimizer = config.optimizer.build(self.model.parameters(), lr=1.0)
        self.optimizer: Any = self.fabric.setup_optimizers(optimizer)
        self.average = None if config.ema_decay is None else moving_average(self.model, config)

    def run(self, show: Callable[[int, str], None]) -> None:
        """Train to the end, from wherever it is; `show` is told of every step and epoch.

        Raises:
            TrainingDiverged: a loss or a weight is NaN or infinite.
            SystemExit: SIGTERM came; a checkpoint was written.
        """
        self.model.train()
        for epoch in range(self.step // len(self.batches), self.config.epochs):
            self.train_epoch(epoch, show)
            show(self.step, self._figures())

    def train_epoch(self, epoch: int, show: Callable[[int, str], None]) -> None:
        """Train for an epoch, or for what is left of it."""
        self.measured.watch.start()
        leaving = False
        start = self.step % len(self.batches)
        for index, (x, y) in enumerate(self.batches.walk(epoch, start), start):
            loss, missed = self._train_step(x, y, index)
            self.measured.add(self.step, loss, missed, self.gates.shares(index))
            self.step += 1
            leaving = self.ending.agreed()
            if index + 1 < len(self.batches):
                self._within_epoch(epoch, leaving)
                show(self.step, "")
        self._end_of_epoch(epoch, leaving)

    def _train_step(
        self, inputs: Shaped[Tensor, "N *input"], targets: Int[Tensor, "N *target"], index: int
    ) -> tuple[Float[Tensor, ""], Shaped[Tensor, " N"]]:
        """Take one step on a batch, run in parts; return its mean loss and what was wrong."""
        self.gates.begin(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.prepared.rate(self.step)
        self.optimizer.zero_grad()
        sizes = self.batches.sizes(index)
        # As many parts in every process, none of them empty.
        parts = min(self.config.accumulate, sizes[-1])
        losses, errors = [], []
        for part, (x, y) in enumerate(_parts(inputs, targets, parts)):
            self.gates.begin_part(part)
            # Gradients stay in this process as long as more will be added to them.
            with self.fabric.no_backward_sync(self.network, enabled=part + 1 < parts):
                logits = self.network(x)
                loss = mean_loss(logits, y, self.config.label_smoothing)
                # Processes average gradients: each loss counts with its share of the examples.
                share = len(y) * len(sizes) / sum(sizes)
                self.fabric.backward(loss if share == 1 else loss * share)
            self.gates.end_part()
            losses.append(loss.detach() * (len(y) / len(targets)))
            errors.append(wrong(logits.detach(), y))
        if (longest := self.config.gradient_clip) is not None:
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=longest, error_if_nonfinite=False
            )
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, step=self.step + 1)
        return torch.stack(losses).sum(), torch.cat(errors)

    def _within_epoch(self, epoch: int, leaving: bool) -> None:
        """Evaluate and write a checkpoint where that is due between two steps of an epoch."""
        every = self.config.evaluate_every_steps
        if every is not None and self.step % every == 0:
            with self.measured.watch.paused():
                self._evaluate(epoch)
        every = self.config.checkpoint_every_steps
        due = leaving or (every is not None and self.step % every == 0)
        if due or self._is_best():
            with self.measured.watch.paused():
                self._save(last=due)
        self._leave_if(leaving)

    def _end_of_epoch(self, epoch: int, leaving: bool) -> None:
        """Evaluate where that is due, write the row of the epoch, and a checkpoint."""
        config, number = self.config, epoch + 1
        steps = range(self.step - len(self.batches), self.step)
        measured = self.measured.epoch(steps)
        every = config.evaluate_every_steps
        due = number % config.evaluate_every == 0 or number == config.epochs
        if due or (every is not None and self.step % every == 0):
            self._evaluate(epoch)
        place = {"epoch": number, "step": self.step, "lr": self.prepared.rate(self.step - 1)}
        self._write_row({**asdict(self.measured.history.during(number)), **measured, **place})
        due = number % config.checkpoint_every == 0 or number == config.epochs
        self._save(last=due or leaving)
        self._leave_if(leaving and number < config.epochs)

    def _write_row(self, row: Mapping[str, Any]) -> None:
        self.measured.history.rows.append(row)
        by_first(self._write_history)
        known = {column: value for column, value in row.items() if value is not None}
        self.fabric.log_dict(known, step=self.step)

    def _write_history(self) -> None:
        with checkpoints.writing(self.directory.metrics):
            self.measured.history.write(self.directory.path)

    def _evaluate(self, epoch: int) -> None:
        """Evaluate on the held-out examples, and keep the result."""
        scores = [self.score(part) if len(part) else None for part in self.held_out.values()]
        for score in scores:
            if score is not None:
                checkpoints.check_finite("loss of the evaluation", score.loss, self.step)
        found = Evaluation.of(epoch + 1, self.step, *scores)
        self.measured.history.evaluations.append(found)

    def score(self, examples: Batches) -> Score:
        """Return loss and error on examples, in evaluation mode.

        That is with the mean of the gates, the running statistics, no augmentation, and the
        average of the weights if there is one. Processes evaluate alike; the first one counts.
        """
        self.gates.move(self.step)
        network: Any = self.model
        if self.average is not None:
            # Only the weights are replaced: the gates are the model's own, also where a
            # curriculum has moved their law since the average began.
            weights = self.average.module.state_dict()
            network = lambda x: functional_call(self.model, weights, x)  # noqa: E731
        self.model.eval()
        score = evaluate(network, examples, self.fabric)
        self.model.train()
        return by_first(lambda: score)

    def trained_on(self) -> Examples:
        """Return the training examples; of those not in memory, as many as are held out.

        Of a text too, which may be long.
        """
        examples = self.batches.examples
        if isinstance(examples, ImageSet):
            return examples
        most = max(len(batches.examples) for batches in self.held_out.values())
        return examples.subset(torch.arange(min(most, len(examples)), device=examples.device))

    def _is_best(self) -> bool:
        best = self.measured.history.best
        return best is not None and best.step == self.step

    def _save(self, *, last: bool) -> None:
        """Write `last.ckpt`, if asked, and `best.ckpt`, if no evaluation was better."""
        best = self._is_best()
        if not (best or last):
            return
        checkpoints.check_finite_state(self.model, self.step)
        weights = {"step": self.step, "model": checkpoints.whole(self.model.state_dict())}
        if self.average is not None:
            weights["average"] = self.average.module.state_dict()
        state = self._state() if last else {}
        by_first(lambda: self._write(weights, state, best=best))

    def _state(self) -> dict[str, Any]:
        """Return what a run needs beside its weights to go on; all processes must call this."""
        sense = self.gates.sense
        return {
            "optimizer": checkpoints.whole(self.optimizer.optimizer.state_dict()),
            "sense": sense.state_dict() if sense else None,
            "measured": self.measured.state_dict(),
            "random": gathered(checkpoints.random_state()),
        }

    def _write(self, weights: Mapping[str, Any], state: Mapping[str, Any], *, best: bool) -> None:
        if best:
            checkpoints.write(weights, self.directory.checkpoints / checkpoints.BEST)
        if state:
            # The gates first: a checkpoint never stands without those of its steps.
            if self.prepared.handle is not None:
                with checkpoints.writing(self.directory.gates):
                    self.depth.write(self.directory.gates, self.step)
            checkpoints.write({**weights, **state}, self.directory.checkpoints / checkpoints.LAST)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint that `_save` has written."""
        self.step = state["step"]
        checkpoints.load_model(self.model, state["model"])
        checkpoints.load_optimizer(self.optimizer.optimizer, state["optimizer"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        if self.gates.sense is not None:
            self.gates.sense.load_state_dict(state["sense"])
        self.measured.load_state_dict(state["measured"])
        if self.prepared.handle is not None:
            self.depth.read(self.directory.gates, self.step)

    def _leave_if(self, leaving: bool) -> None:
        if leaving:
            raise SystemExit(TERMINATED)

    def _figures(self) -> str:
        """Return the errors of the last epoch in words; of text its losses."""
        row, text = self.measured.history.rows[-1], self.prepared.splits.is_text
        kind, form = ("loss", "{:.4f}") if text else ("error", "{:.2f} %")
        found = {name: row[f"{name}_{kind}"] for name in ("train", "validation", "test")}
        known = [f"{name} {form.format(x)}" for name, x in found.items() if x is not None]
        return " · ".join([f"epoch {row['epoch']}", *known])


def fit(
    prepared: Prepared,
    directory: RunDirectory,
    checkpoint: Path | None,
    ending: Ending,
    *,
    progress: bool,
) -> Summary:
    """Train from the beginning, or from `checkpoint`, to the end.

    Returns:
        The figures of the run.
    """
    training = Training(prepared, directory, ending)
    state = {} if checkpoint is None else checkpoints.read(checkpoint)
    if checkpoint is not None:
        with checkpoints.of_this_run(checkpoint):
            training.resume(state)
    # Last of all: setting up may have drawn numbers.
    seed, rank = prepared.config.seed, Place.here().rank
    checkpoints.set_random_state(state.get("random", ()), rank, seed, training.step)
    shown = _progress_line(prepared, training.step) if progress else nullcontext(_not_shown)
    outcome = "failed"
    try:
        # In float64, Fabric would hand on logits in float32 without it.
        with training.fabric.strategy.precision.tensor_init_context(), shown as show:
            training.run(show)
            trained_on = evaluation_batches(training.trained_on(), prepared.config)
            summary = training.measured.summary(training.score(trained_on))
        outcome = "success"
    finally:
        for logger in training.fabric.loggers:
            logger.finalize(outcome)
    return summary


def moving_average(model: nn.Module, config: RunConfig) -> Any:
    """Return timm's average of the parameters and buffers of `model`.

    Its decay begins at 0 and rises as 1 - (1 + t)^(-2/3) in step t, up to the one asked for:
    a short training is not averaged with its beginning.
    """
    from timm.utils.model_ema import ModelEmaV3  # a second of imports, which most runs do without

    average = ModelEmaV3(model, decay=config.ema_decay or 0.0, use_warmup=True)
    return average.requires_grad_(False)


def _parts(inputs: Tensor, targets: Tensor, number: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(inputs.tensor_split(number), targets.tensor_split(number), strict=True)


@contextmanager
def _progress_line(prepared: Prepared, step: int) -> Iterator[Callable[[int, str], None]]:
    """Show the steps done, the time left and the errors of the last epoch on one line."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    figures = TextColumn("{task.fields[figures]}")
    with Progress(*columns, TimeRemainingColumn(), figures) as bar:
        total, shown = prepared.num_steps, 0.0
        task = bar.add_task(prepared.config.name, total=total, completed=step, figures="")

        def show(step: int, words: str) -> None:
            nonlocal shown
            if words:
                bar.update(task, completed=step, figures=words)
            elif time.monotonic() - shown > REDRAW:
                shown = time.monotonic()
                bar.update(task, completed=step)

        yield show


def _not_shown(step: int, figures: str) -> None:
    """Show nothing."""
