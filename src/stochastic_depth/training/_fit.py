"""The training itself: Lightning's trainer with the callbacks of a run."""

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import Callback
from torch import nn

from .._typing import Probabilities
from ._config import RunConfig
from ._depth_callbacks import gates_of_steps, sense_mode, setting_gates
from ._depth_record import DepthRecord
from ._directory import RunDirectory
from ._evaluate import evaluate
from ._module import Classifier
from ._prepare import Prepared
from ._processes import Place
from ._running_mean import RunningGradient, Score
from ._trainer import new_trainer
from .callbacks import (
    Checkpoints,
    Exchange,
    ProgressLine,
    RandomState,
    Recorder,
    SenseMode,
)
from .data import Batches, ImageSet, augmentation_of


def fit(
    prepared: Prepared, run: RunDirectory, checkpoint: Path | None, *, progress: bool
) -> tuple[Recorder, Score]:
    """Train from the beginning, or from `checkpoint`.

    Returns:
        What was measured, and the score on the training images at the end, in evaluation
        mode and without augmentation.
    """
    config, splits = prepared.config, prepared.splits
    trainer = new_trainer(config, run.path)
    device = trainer.strategy.root_device
    train, validation, test = (
        images.to(device) for images in (splits.train, splits.validation, splits.test)
    )
    batches = training_batches(train, config)
    sense, setting = sense_mode(prepared, train), setting_gates(prepared)
    gates = gates_of_steps(setting, batches, config)
    recorder = Recorder(
        run.path,
        config,
        validation=_in_order(validation, config),
        test=_in_order(test, config),
        depth=_depth_record(prepared, sense),
        gradient=RunningGradient(_first_weight(prepared)),
        rate=prepared.rate,
        gates=gates,
    )
    saving = Checkpoints(run.checkpoints, config, recorder)
    line = ProgressLine(recorder, config.name) if progress else None
    exchange = Exchange(prepared.model, prepared.blocks, gates) if config.processes > 1 else None
    callbacks: list[Callback | None] = [sense, setting, exchange, recorder]
    callbacks += [RandomState(batches), saving, line]
    # They need the device, which only a trainer knows.
    trainer.callbacks += [callback for callback in callbacks if callback]  # type: ignore[attr-defined]
    if config.precision == "float64":
        prepared.model.double()  # Lightning would do so after it has loaded a checkpoint
    module = Classifier(
        prepared.model,
        config.optimizer,
        prepared.rate,
        blocks=[block.path for block in prepared.blocks],
        sizes=batches.sizes,
        accumulate=config.accumulate,
        label_smoothing=config.label_smoothing,
        ema_decay=config.ema_decay,
    )
    trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)
    score = evaluate(module.to(device), _in_order(train, config))
    recorder.sent = exchange.sent if exchange else None
    return recorder, score


def training_batches(images: ImageSet, config: RunConfig) -> Batches:
    """Return the batches to train on, augmented and in an order of the run's seed."""
    return Batches(
        images,
        config.batch_size,
        config.seed,
        augmentation=augmentation_of(config.data),
        channels_last=config.channels_last,
        rank=Place.here().rank,
        world=config.processes,
    )


def _in_order(images: ImageSet, config: RunConfig) -> Batches:
    size, layout = config.evaluation_batch_size, config.channels_last
    return Batches(images, size, seed=0, shuffle=False, channels_last=layout)


def _depth_record(prepared: Prepared, sense: SenseMode | None) -> DepthRecord:
    costs = [block.cost for block in prepared.blocks]
    config, share = prepared.config, prepared.network_share
    fresh = config.accumulate > 1 and config.accumulated_gates == "new"
    in_part = config.depth.per != "batch" or config.depth.independent or fresh
    survival = _survival(prepared) if sense is None else sense.survival
    return DepthRecord(prepared.num_steps, costs, share, survival, in_part=in_part)


def _survival(prepared: Prepared) -> Callable[[int], Probabilities]:
    """Return the map from steps to survival probabilities."""
    if prepared.handle is None:
        return lambda step: prepared.survival
    curriculum, total = prepared.curriculum, prepared.num_steps
    return lambda step: curriculum(step / total)


def _first_weight(prepared: Prepared) -> nn.Parameter | None:
    """Return the weight of the first convolution (or linear map) of the first block."""
    sharded = prepared.config.processes > 1 and prepared.config.strategy == "fsdp"
    if not prepared.blocks or sharded:  # no process has the whole of it
        return None
    block = prepared.model.get_submodule(prepared.blocks[0].path)
    return next((weight for weight in block.parameters() if weight.ndim > 1), None)
