"""From a configuration to everything a run needs, with nothing written yet."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from lightning.pytorch import seed_everything
from torch import Tensor, nn

from .._checks import fail
from .._typing import Probabilities
from ..curricula import Curriculum
from ..surgery import Block, Handle, apply, find_blocks, plan
from ._config import RunConfig
from ._sensitivities import mean_sensitivities
from .data import Batch, Batches, ImageSet, Splits, load


@dataclass(frozen=True)
class Prepared:
    """A run that could start now.

    Args:
        config: what was asked for.
        splits: the images.
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
    config.optimizer.build(model.parameters(), lr=1.0)  # Lightning builds it later, and again
    example = torch.zeros(2, *splits.image_shape)
    blocks = find_blocks(model, transitions=config.depth.transitions, example=example)
    protected = torch.tensor([not block.droppable for block in blocks], dtype=torch.bool)
    if not config.depth.enabled:
        ones = torch.ones(len(blocks), dtype=torch.float64)
        return Prepared(config, splits, model, blocks, ones, 1.0, None)
    sensitivities = _sensitivities(model, config, splits)
    survival = config.depth.survival(len(blocks), protected, sensitivities)
    handle = apply(
        model,
        config.depth.law_of(survival),
        per=config.depth.per,
        dropped_grads=config.depth.dropped_grads,
        ranks=config.depth.ranks,
        transitions=config.depth.transitions,
        execution=config.depth.execution,
        seed=config.seed,
        example=example,
    )
    share = plan(model).network_share or 1.0
    return Prepared(config, splits, model, handle.blocks, handle.survival, share, handle)


def sensing_batches(images: ImageSet, config: RunConfig, step: int) -> Iterator[Batch]:
    """Yield the batches on which sensitivities are estimated before a step, not augmented."""
    size, layout = config.batch_size, config.channels_last
    batches = Batches(images, size, config.seed, channels_last=layout)
    # An order of its own for each step: as good as another epoch.
    for index in range(min(config.depth.sense_batches, len(batches))):
        yield batches.batch(step, index)


def _sensitivities(model: nn.Module, config: RunConfig, splits: Splits) -> Tensor | None:
    if config.depth.chosen != "sense":
        return None
    return mean_sensitivities(model, sensing_batches(splits.train, config, step=0))


def _build_model(config: RunConfig, splits: Splits) -> nn.Module:
    channels, *_ = splits.image_shape
    derived: dict[str, int] = {}
    if config.model.accepts("num_classes"):
        derived["num_classes"] = splits.num_classes
    if config.model.accepts("in_channels", by_name=True):
        derived["in_channels"] = channels
    model = config.model.build(**derived)
    _check_output(model, splits)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    return model.to(memory_format=layout)


def _check_accelerator(name: str) -> None:
    present = {"gpu": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(name, True):
        raise fail("accelerator", "one this machine has", repr(name), "Pass auto or cpu.")


def _check_output(model: nn.Module, splits: Splits) -> None:
    """Refuse a network that cannot classify these images, before anything is written."""
    field = f"model {type(model).__name__}"
    requirement = f"a map from images {splits.image_shape} to {splits.num_classes} classes"
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(2, *splits.image_shape))
    except Exception as error:  # whatever the network raises on images it is not made for
        reason = str(error).partition("\n")[0].rstrip(".")
        raise fail(field, requirement, f"an error: {reason}") from error
    model.train()
    if logits.shape != (2, splits.num_classes):
        raise fail(field, requirement, f"outputs of shape {tuple(logits.shape)} for 2 images")
