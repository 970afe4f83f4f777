"""One scaled network trained on images, its weights before and after."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from ..._errors import TrainingDiverged
from ...training import (
    Component,
    DataConfig,
    DepthConfig,
    LearningRateConfig,
    RunConfig,
    prepare,
    train,
)
from ...training.data import load


@dataclass(frozen=True)
class Protocol:
    """How the paper trains: res-1 with biases, Adam, a learning rate that falls in steps.

    Attributes:
        data: the images, see `pixels`.
        decay_every: epochs after which the learning rate is divided by 10.
        survival: of the last block under linear decay; None at constant depth.
    """

    data: DataConfig
    depth: int = 1000
    width: int = 30
    epochs: int = 10
    batch_size: int = 128
    decay_every: int = 5
    survival: float | None = None


def pixels(name: str, limit: int | None = None) -> DataConfig:
    """Return images as the paper takes them: pixels in [0, 1], none held out.

    Args:
        name: of the data set.
        limit: number of training images, and of test images; None takes all.
    """
    return DataConfig(name, limit=limit, test_limit=limit, validation=0, normalization="none")


@dataclass(frozen=True)
class Trained:
    """The weights V over depth, shape (L, width, width), and the test accuracy in per cent.

    `after` and `accuracy` are None if the loss became infinite or NaN.
    """

    before: Tensor
    after: Tensor | None
    accuracy: float | None


def trained(protocol: Protocol, init: str, beta: float, rate: float, seed: int) -> Trained:
    """Train one network from weights that follow a process over depth."""
    config = _config(protocol, init, beta, rate, seed)
    model = prepare(config).model
    before = _weights(model)
    with TemporaryDirectory() as directory:
        try:
            record = train(config, directory, progress=False)
        except TrainingDiverged:
            return Trained(before, None, None)
        checkpoint = torch.load(Path(directory) / "checkpoints" / "last.ckpt", weights_only=True)
    model.load_state_dict(checkpoint["model"])
    return Trained(before, _weights(model), 100 - record["summary"]["test_error_last"])


def _config(protocol: Protocol, init: str, beta: float, rate: float, seed: int) -> RunConfig:
    splits = load(protocol.data)
    network = {
        "depth": protocol.depth,
        "width": protocol.width,
        "inputs": math.prod(splits.input_shape),
        "outputs": splits.num_classes,
        "beta": beta,
        "branch": "res-1",
        "init": init,
        "bias": True,
    }
    survival = protocol.survival
    return RunConfig(
        model=Component("stochastic_depth.models.ScaledResNet", network),
        # One seed is one draw of everything: of the images too.
        data=replace(protocol.data, split_seed=protocol.data.split_seed + seed),
        depth=DepthConfig(enabled=survival is not None, last=survival or 1.0, rescale="test"),
        optimizer=Component("torch.optim.Adam"),
        learning_rate=_rate(rate, protocol),
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        seed=seed,
        channels_last=False,
        evaluate_every=protocol.epochs,
        checkpoint_every=protocol.epochs,
        loggers=(),
    )


def _rate(rate: float, protocol: Protocol) -> LearningRateConfig:
    # A milestone names the first epoch, counted from 1, at the lower rate.
    firsts = range(protocol.decay_every + 1, protocol.epochs + 1, protocol.decay_every)
    if not firsts:
        return LearningRateConfig(rate, "constant")
    milestones = tuple(first / protocol.epochs for first in firsts)
    return LearningRateConfig(rate, "milestones", milestones=milestones)


def _weights(model: torch.nn.Module) -> Tensor:
    return model.layer_weights()[:, 0]  # type: ignore[operator]
