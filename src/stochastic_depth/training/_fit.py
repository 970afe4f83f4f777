"""The training itself: Lightning's trainer with the callbacks of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from torch import nn

from .._typing import Probabilities
from ._checkpoint_io import AtomicCheckpointIO
from ._config import RunConfig
from ._depth_record import DepthRecord
from ._directory import RunDirectory
from ._evaluate import evaluate
from ._module import Classifier
from ._prepare import Prepared, sensing_batches
from ._running_mean import RunningGradient, Score
from .callbacks import (
    Checkpoints,
    ProgressLine,
    RandomState,
    Recorder,
    SenseMode,
    StochasticDepth,
)
from .data import Batches, ImageSet, augmentation_of

PRECISION: dict[str, Any] = {"float32": "32-true", "bf16": "bf16-mixed"}


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
    gates, sense = _gates(prepared), _sense(prepared, train)
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
    callbacks: list[Callback | None] = [sense, gates, recorder, RandomState(batches), saving, line]
    # They need the device, which only a trainer knows.
    trainer.callbacks += [callback for callback in callbacks if callback]  # type: ignore[attr-defined]
    module = Classifier(
        prepared.model,
        config.optimizer,
        prepared.rate,
        label_smoothing=config.label_smoothing,
        ema_decay=config.ema_decay,
    )
    trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)
    score = evaluate(module.to(device), _in_order(train, config))
    return recorder, score


def new_trainer(config: RunConfig, directory: Path) -> Trainer:
    """Return a trainer that leaves metrics, progress and checkpoints to our callbacks."""
    loggers = [
        logger.build(save_dir=str(directory)) if logger.accepts("save_dir") else logger.build()
        for logger in config.loggers
    ]
    return Trainer(
        accelerator=config.accelerator,
        devices=1,
        precision=PRECISION[config.precision],
        max_epochs=config.epochs,
        logger=loggers,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )


def training_batches(images: ImageSet, config: RunConfig) -> Batches:
    """Return the batches to train on, augmented and in an order of the run's seed."""
    return Batches(
        images,
        config.batch_size,
        config.seed,
        augmentation=augmentation_of(config.data),
        channels_last=config.channels_last,
    )


def _in_order(images: ImageSet, config: RunConfig) -> Batches:
    size, layout = config.evaluation_batch_size, config.channels_last
    return Batches(images, size, seed=0, shuffle=False, channels_last=layout)


def _gates(prepared: Prepared) -> StochasticDepth | None:
    """Return the callback that sets the gates, and the probabilities if they move."""
    if prepared.handle is None:
        return None
    moving = prepared.config.depth.curriculum != "constant"
    return StochasticDepth(prepared.handle, prepared.curriculum if moving else None)


def _sense(prepared: Prepared, train: ImageSet) -> SenseMode | None:
    """Return the callback that refits the schedule to sensitivities, where that is asked for."""
    config, depth = prepared.config, prepared.config.depth
    if prepared.handle is None or depth.interval is None or depth.budget is None:
        return None
    return SenseMode(
        prepared.handle,
        lambda step: sensing_batches(train, config, step),
        depth.budget,
        depth.interval,
        minimum=depth.minimum or 0.0,
    )


def _depth_record(prepared: Prepared, sense: SenseMode | None) -> DepthRecord:
    costs = [block.cost for block in prepared.blocks]
    per_sample = prepared.config.depth.per != "batch"
    share = prepared.network_share
    survival = _survival(prepared) if sense is None else sense.survival
    return DepthRecord(prepared.num_steps, costs, share, survival, per_sample=per_sample)


def _survival(prepared: Prepared) -> Callable[[int], Probabilities]:
    """Return the map from steps to survival probabilities."""
    if prepared.handle is None:
        return lambda step: prepared.survival
    curriculum, total = prepared.curriculum, prepared.num_steps
    return lambda step: curriculum(step / total)


def _first_weight(prepared: Prepared) -> nn.Parameter | None:
    """Return the weight of the first convolution (or linear map) of the first block."""
    if not prepared.blocks:
        return None
    block = prepared.model.get_submodule(prepared.blocks[0].path)
    return next((weight for weight in block.parameters() if weight.ndim > 1), None)
