"""Measure the statistics of BatchNorm layers anew."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .._checks import fail


def recalibrate(model: nn.Module, inputs: Iterable[Any]) -> None:
    """Set the statistics of BatchNorm layers to those of the evaluated network.

    In training a block behind dropped ones meets other activations than in evaluation,
    where all blocks run, and the running statistics are those of training. Here each
    layer's mean and variance become the averages over `inputs` of the batch statistics,
    in forwards of the network as it is evaluated: full depth, gates at the law's
    `evaluation`, no dropout.

    Args:
        model: with or without stochastic depth; its mode is given back.
        inputs: batches, each an input of the model or a tuple of inputs.

    Raises:
        InvalidArgument: no BatchNorm layer keeps statistics, or there are no inputs.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> handle = sd.apply(model, sd.schedules.linear(0.5))
        >>> sd.surgery.recalibrate(model, (torch.randn(8, 3, 32, 32) for _ in range(4)))
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers:
        raise fail("model", "one with BatchNorm layers that keep statistics", type(model).__name__)
    with torch.no_grad(), _measuring(model, layers):
        for number, batch in enumerate(inputs):
            if number == 0:
                for layer in layers:
                    layer.reset_running_stats()
            model(*batch if isinstance(batch, tuple) else (batch,))
    if not int(layers[0].num_batches_tracked or 0):
        raise fail("inputs", "at least one batch", "none")


@contextmanager
def _measuring(model: nn.Module, layers: list[_BatchNorm]) -> Iterator[None]:
    """Have the layers average over batches, and everything else be as in evaluation."""
    modes = [(module, module.training) for module in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    try:
        for layer in layers:
            layer.training, layer.momentum = True, None
        yield
    finally:
        for module, training in modes:
            module.training = training
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
