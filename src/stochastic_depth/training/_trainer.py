"""Lightning's trainer, as a run needs it."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from ._checkpoint_io import AtomicCheckpointIO
from ._config import RunConfig
from ._processes import Place

PRECISION: dict[str, Any] = {
    "float32": "32-true",
    "float64": "64-true",
    "bf16": "bf16-mixed",
}


def new_trainer(config: RunConfig, directory: Path) -> Trainer:
    """Return a trainer that leaves metrics, progress and checkpoints to our callbacks."""
    loggers = [
        logger.build(save_dir=str(directory)) if logger.accepts("save_dir") else logger.build()
        for logger in config.loggers
    ]
    return Trainer(
        accelerator=config.accelerator,
        devices=config.processes // Place.here().nodes,
        num_nodes=Place.here().nodes,
        strategy=_strategy(config),
        use_distributed_sampler=False,
        precision=PRECISION[config.precision],
        max_epochs=config.epochs,
        logger=loggers,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )


def _strategy(config: RunConfig) -> Any:
    """Return what Lightning calls that by which processes train together."""
    if config.processes == 1:
        return "auto"
    if config.strategy == "fsdp":
        return ModelParallelStrategy(
            data_parallel_size=config.processes,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
        )
    unused = config.depth.enabled and config.depth.dropped_grads == "none"
    return DDPStrategy(find_unused_parameters=unused)
