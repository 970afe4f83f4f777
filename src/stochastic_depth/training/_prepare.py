"""From a configuration to everything a run needs, with nothing written yet; and that in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from lightning.fabric import seed_everything
from torch import Tensor, nn

from .._checks import fail
from .._typing import Probabilities
from ..curricula import Curriculum
from ..surgery import Block, Handle, apply, find_blocks, plan
from ._checkpoint import newest, read
from ._component import Component
from ._launch import Place
from ._run_config import RunConfig
from ._run_directory import RunDirectory
from ._sense import mean_sensitivities
from .data import Batch, Batches, Examples, Photographs, Splits, augmentation_of, load, mixing_of


@dataclass(frozen=True)
class Prepared:
    """A run that could start now.

    Args:
        config: what was asked for.
        splits: the images, or the text.
        model: the network, with stochastic depth on it unless depth is constant.
        blocks: the residual blocks of the network.
        survival: survival probabilities (L,) that the schedule asks for.
        network_share: cost of all blocks, as a share of the network's.
        handle: of stochastic depth; None at constant depth.
    """

    config: RunConfig
    splits: Splits
    model: nn.Module
    blocks: tuple[Block, ...]
    survival: Probabilities
    network_share: float
    handle: Handle | None

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch; the last may be smaller."""
        return -(-len(self.splits.train) // self.config.batch_size)

    @property
    def num_steps(self) -> int:
        """Length of training."""
        return self.steps_per_epoch * self.config.epochs

    @property
    def curriculum(self) -> Curriculum:
        """Progress in [0, 1] -> survival probabilities."""
        return self.config.depth.curriculum_of(self.survival)

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        schedule, epochs = self.config.learning_rate, self.config.epochs
        return schedule.at(step, self.steps_per_epoch, epochs)


def prepare(config: RunConfig) -> Prepared:
    """Load the data, build the network, and put stochastic depth on it.

    Seeds the global generators: the initial weights depend on `config.seed` alone, and
    are the same at constant depth.

    Raises:
        StochasticDepthError: the configuration asks for what is not possible; each of
            the parts says what.
    """
    _check_accelerator(config.accelerator)
    splits = load(config.data)
    seed_everything(config.seed, verbose=False)
    model = _build_model(config, splits)
    config.optimizer.build(model.parameters(), lr=1.0)  # to be refused here; it is built later
    example = splits.example
    blocks = find_blocks(model, transitions=config.depth.transitions, example=example)
    protected = torch.tensor([not block.droppable for block in blocks], dtype=torch.bool)
    if not config.depth.enabled:
        ones = torch.ones(len(blocks), dtype=torch.float64)
        return Prepared(config, splits, model, blocks, ones, 1.0, None)
    sensitivities = _sensitivities(model, config, splits)
    survival = config.depth.survival(len(blocks), protected, sensitivities)
    _check_that_some_block_runs(config, survival)
    handle = apply(
        model,
        config.depth.law_of(survival),
        per=config.depth.per,
        dropped_grads=config.depth.dropped_grads,
        ranks=config.depth.ranks,
        scale=config.depth.scale,
        transitions=config.depth.transitions,
        execution=config.depth.execution,
        seed=config.seed,
        example=example,
    )
    share = plan(model).network_share or 1.0
    return Prepared(config, splits, model, handle.blocks, handle.survival, share, handle)


def training_batches(examples: Examples, config: RunConfig, num_classes: int = 0) -> Batches:
    """Return the batches to train on, augmented and in an order of the run's seed."""
    on_disk = isinstance(examples, Photographs)
    return Batches(
        examples,
        config.batch_size,
        config.seed,
        augmentation=None if on_disk else augmentation_of(config.data),
        augmented=on_disk,
        mixing=mixing_of(config.data, num_classes),
        channels_last=config.channels_last,
        rank=Place.here().rank,
        world=config.processes,
    )


def evaluation_batches(examples: Examples, config: RunConfig) -> Batches:
    """Return the batches to evaluate on, the same in every process."""
    size, layout = config.evaluation_batch_size, config.channels_last
    return Batches(examples, size, seed=0, shuffle=False, channels_last=layout)


def sensing_batches(examples: Examples, config: RunConfig, step: int) -> Iterator[Batch]:
    """Yield the batches on which sensitivities are estimated before a step, not augmented."""
    size, layout = config.batch_size, config.channels_last
    batches = Batches(examples, size, config.seed, channels_last=layout)
    # An order of its own for each step: as good as another epoch.
    for index in range(min(config.depth.sense_batches, len(batches))):
        yield batches.batch(step, index)


def _sensitivities(model: nn.Module, config: RunConfig, splits: Splits) -> Tensor | None:
    if config.depth.chosen != "sense":
        return None
    return mean_sensitivities(model, sensing_batches(splits.train, config, step=0))


def _build_model(config: RunConfig, splits: Splits) -> nn.Module:
    model = config.model.build(**_derived(config.model, splits))
    _check_output(model, splits)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    return model.to(memory_format=layout)


def _check_that_some_block_runs(config: RunConfig, survival: Probabilities) -> None:
    curriculum = config.depth.curriculum_of(survival)
    if len(survival) and not any(curriculum(progress).any() for progress in (0.0, 0.5, 1.0)):
        requirement = "a schedule under which some block runs at some time"
        given = f"survival 0 for all {len(survival)} blocks"
        raise fail("depth", requirement, given, "Raise depth.last, depth.budget or probabilities.")


def _derived(network: Component, splits: Splits) -> dict[str, int]:
    """Return the arguments of a network that the data decide, as far as it takes them."""
    first, *_ = splits.input_shape
    if splits.is_text:
        derived = {"vocab_size": splits.num_classes, "length": first}
        return {key: size for key, size in derived.items() if network.accepts(key, by_name=True)}
    classes = {"num_classes": splits.num_classes} if network.accepts("num_classes") else {}
    derived = {"in_channels": first, "image_size": splits.input_shape[1]}
    return classes | {
        key: size for key, size in derived.items() if network.accepts(key, by_name=True)
    }


def _check_accelerator(name: str) -> None:
    present = {"gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(name, True):
        raise fail("accelerator", "one this machine has", repr(name), "Pass auto or cpu.")


def _check_output(model: nn.Module, splits: Splits) -> None:
    """Refuse a network that cannot predict these targets, before anything is written."""
    field, number = f"model {type(model).__name__}", splits.num_classes
    what = "sequences of tokens" if splits.is_text else "images"
    shape = splits.input_shape if splits.is_text else ()
    requirement = f"a map from {what} {splits.input_shape} to {_outputs(splits)}"
    model.eval()
    try:
        with torch.no_grad():
            logits = model(splits.example)
    except Exception as error:  # whatever the network raises on what it is not made for
        reason = str(error).partition("\n")[0].rstrip(".")
        raise fail(field, requirement, f"an error: {reason}") from error
    model.train()
    if not isinstance(logits, Tensor):
        raise fail(field, requirement, f"a {type(logits).__name__}")
    *places, last = logits.shape
    # The vocabulary of a pretrained network may be padded.
    wide = last == number or (splits.is_text and last > number)
    if tuple(places) != (2, *shape) or not wide:
        raise fail(field, requirement, f"outputs of shape {tuple(logits.shape)} for 2 {what}")


def _outputs(splits: Splits) -> str:
    if splits.is_text:
        return f"a number for each of {splits.num_classes} tokens, at every place"
    return f"{splits.num_classes} classes"


def describe(prepared: Prepared) -> dict[str, str]:
    """Return what would be trained, on what and how, by topic."""
    config, splits = prepared.config, prepared.splits
    parameters = sum(weight.numel() for weight in prepared.model.parameters())
    return {
        "data": _data(config.data.name, splits),
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
    step = read(checkpoint)["step"] if checkpoint else 0
    return f"unfinished: it would be resumed after step {step}"


def _data(name: str, splits: Splits) -> str:
    what = "sequences" if splits.is_text else "images"
    shape = "x".join(str(size) for size in splits.input_shape)
    each = (
        f"{shape} tokens each, a vocabulary of {splits.num_classes:,}"
        if splits.is_text
        else f"{shape}, {splits.num_classes} classes"
    )
    return (
        f"{name}: {len(splits.train):,} {what} to train on, {len(splits.validation):,} to "
        f"validate, {len(splits.test):,} to test, {each}"
        + "".join(f"; {note}" for note in splits.notes)
    )


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
        steps, passes = schedule.warmup_steps, schedule.warmup_epochs
        length = f"{steps} steps" if steps else f"{passes} epochs"
        warmup = f"rises to {schedule.initial:g} in {length}, then " if steps or passes else ""
        return f"{warmup}falls from it along a cosine to {schedule.floor * schedule.initial:g}"
    steps, epochs = prepared.steps_per_epoch, prepared.config.epochs
    rates = [(f"{prepared.rate(e * steps):.4g}", e + 1) for e in range(epochs)]
    groups = [(rate, [e for _, e in group]) for rate, group in groupby(rates, lambda pair: pair[0])]
    return ", ".join(f"{rate} in epochs {span[0]}-{span[-1]}" for rate, span in groups)
