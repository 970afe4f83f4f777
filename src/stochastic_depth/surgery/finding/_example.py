"""An input to try a model on, when the user gives none."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from ..._errors import Unsupported

ROWS = 3
"""Batch size of examples; unlikely to be the size of anything that is not the batch."""

SMALL = 64
"""Enough for a convolutional network, and quick."""

USUAL = (224, 32, 28)
"""Tried for models that do not say what size of image they take."""


def example_inputs(model: nn.Module, example: Any | None) -> Iterator[tuple[Any, ...]]:
    """Yield the argument tuples on which `model` may be tried, the likeliest first.

    Args:
        model: the model.
        example: an input, or a tuple of positional inputs; None makes guesses from the
            first layer and from the image size that torchvision and timm models carry.
    """
    if example is not None:
        inputs = example if isinstance(example, tuple) else (example,)
        yield pytree.tree_map_only(Tensor, _varied, inputs)
        return
    first = _first_layer(model)
    if isinstance(first, nn.Linear):
        yield (_noise(first.weight, (ROWS, first.in_features)),)
        return
    for size in _sizes(model):
        sides = size if isinstance(size, tuple) else (size,) * len(first.kernel_size)
        yield (_noise(first.weight, (ROWS, first.in_channels, *sides)),)


def _first_layer(model: nn.Module) -> nn.Linear | _ConvNd:
    for module in model.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            return module
    raise Unsupported(
        f"{type(model).__name__} must show what input it takes, by a first convolution or "
        "linear layer; it has neither. Pass example=<an input of the model>."
    )


def _sizes(model: nn.Module) -> Iterator[int | tuple[int, ...]]:
    """Yield image sizes: the one a transformer was built for, a small one, the usual ones."""
    for owner, name in ((getattr(model, "patch_embed", None), "img_size"), (model, "image_size")):
        size = getattr(owner, name, None)
        if isinstance(size, int | tuple):
            yield size
    yield SMALL
    configuration = getattr(model, "default_cfg", None)
    if isinstance(configuration, dict) and "input_size" in configuration:
        yield tuple(configuration["input_size"][1:])
    yield from USUAL


def _varied(x: Tensor) -> Tensor:
    """Return noise for an example that says no more than its shape, such as zeros."""
    says_nothing = x.is_floating_point() and x.numel() > 1 and bool((x == x.flatten()[0]).all())
    return _noise(x, tuple(x.shape)) if says_nothing else x


def _noise(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return noise.to(device=like.device, dtype=like.dtype)
