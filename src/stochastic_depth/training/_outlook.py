"""What a run would do, in words."""

from itertools import groupby
from pathlib import Path

from ._checkpoint_io import newest, read
from ._component import Component
from ._config import RunConfig
from ._directory import RunDirectory
from ._prepare import Prepared


def describe(prepared: Prepared) -> dict[str, str]:
    """Return what would be trained, on what and how, by topic."""
    config, splits = prepared.config, prepared.splits
    shape = "x".join(str(size) for size in splits.image_shape)
    parameters = sum(weight.numel() for weight in prepared.model.parameters())
    return {
        "data": f"{config.data.name}: {len(splits.train):,} images to train on, "
        f"{len(splits.validation):,} to validate, {len(splits.test):,} to test, "
        f"{shape}, {splits.num_classes} classes",
        "model": f"{_call(config.model)}, {parameters:,} parameters",
        "depth": _depth(prepared),
        "training": f"{config.epochs} epochs of {prepared.steps_per_epoch} steps, batches of "
        f"{config.batch_size}, {config.precision}, seed {config.seed}",
        "optimizer": _call(config.optimizer),
        "learning rate": _rates(prepared),
    }


def outlook(config: RunConfig, directory: str | Path) -> str:
    """Return what training in `directory` would begin with.

    Raises:
        RunDirectoryInUse: the directory holds another configuration, or other files.
        CheckpointError: there are checkpoints, and none can be read.
    """
    run = RunDirectory(directory)
    if not run.holds(config):
        return "a new run"
    if run.read_run().get("status") == "finished":
        return "finished: nothing to do"
    checkpoint = newest(run.checkpoints)
    step = read(checkpoint)["global_step"] if checkpoint else 0
    return f"unfinished: it would be resumed after step {step}"


def _depth(prepared: Prepared) -> str:
    number = len(prepared.blocks)
    if prepared.handle is None:
        return f"constant, {number} blocks"
    depth = prepared.config.depth
    expected = float(prepared.survival.sum())
    return (
        f"{depth.chosen} schedule, {depth.curriculum} curriculum, one draw per {depth.per}, "
        f"rescaled at {depth.rescale}: {expected:.2f} of {number} blocks expected"
        + (f"; {depth.reason}" if depth.schedule == "auto" else "")
        + (f"; refitted every {depth.interval} steps" if depth.interval is not None else "")
    )


def _call(component: Component) -> str:
    name = component.class_path.rpartition(".")[2]
    given = (f"{key}={value}" for key, value in component.init_args.items() if value is not None)
    return f"{name}({', '.join(given)})"


def _rates(prepared: Prepared) -> str:
    """Return the rate of each epoch, equal ones together."""
    schedule = prepared.config.learning_rate
    if schedule.decay == "cosine":
        warmup = f"rises to {schedule.initial:g} in {schedule.warmup_epochs} epochs, then "
        return f"{warmup if schedule.warmup_epochs else ''}falls from it along a cosine to 0"
    steps, epochs = prepared.steps_per_epoch, prepared.config.epochs
    rates = [(f"{prepared.rate(e * steps):.4g}", e + 1) for e in range(epochs)]
    groups = [(rate, [e for _, e in group]) for rate, group in groupby(rates, lambda pair: pair[0])]
    return ", ".join(f"{rate} in epochs {span[0]}-{span[-1]}" for rate, span in groups)
