"""Drop sites: where a foreign model would mask its branches, and the masks built there."""

import re
from collections.abc import Iterator

from torch import nn

SITE_NAME = re.compile(r"drop_path|stochastic_depth")
"""Attribute names of timm (`drop_path`, `drop_path1`, `mhca_drop_path`, ...) and torchvision."""

MASK_CLASS = re.compile(r"(DropPath|StochasticDepth)$")
"""Class names, also of the many private copies (`BeitDropPath`); the libraries themselves
are not imported."""

MASK_RATES = ("drop_prob", "p")
"""Where timm and torchvision keep the drop rate of a mask."""


def sites(block: nn.Module) -> tuple[str, ...]:
    """Return the names of the block's own sites.

    A site is a mask, or whatever stands where one would be had the model been built with
    a drop rate: an identity, or None (timm's ResNets).
    """
    attributes = {**vars(block), **block._modules}
    return tuple(
        name
        for name, value in attributes.items()
        if (SITE_NAME.search(name) and (value is None or isinstance(value, nn.Module)))
        or is_mask(value)
    )


def is_mask(module: object) -> bool:
    """Return whether `module` is a drop path of any library."""
    return isinstance(module, nn.Module) and bool(MASK_CLASS.search(type(module).__name__))


def masks(model: nn.Module) -> Iterator[tuple[str, str, float]]:
    """Yield (path, name of its rate, rate) of each mask that is active in training."""
    for path, module in model.named_modules():
        if is_mask(module):
            for name in MASK_RATES:
                rate = getattr(module, name, None)
                if isinstance(rate, float | int) and rate > 0:
                    yield path, name, float(rate)
