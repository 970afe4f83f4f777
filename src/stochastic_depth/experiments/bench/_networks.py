"""The network under test, with stochastic depth as each library does it."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ...gates import Bernoulli, FixedDepth
from ...models import CifarResNet
from ...surgery import Handle, apply


def plain(depth: int) -> CifarResNet:
    """Return the network at constant depth."""
    return CifarResNet(depth, num_classes=10, conv_bias=True)


Network = tuple[nn.Module, Handle | None]
"""A network, and the handle of its gates if they are ours."""

Implementation = Callable[[int, Tensor], Network]
"""Builds the network of a depth with survival probabilities (L,)."""


def torchvision(depth: int, survival: Tensor) -> Network:
    """Return the network with torchvision's `StochasticDepth` behind each branch."""
    from torchvision.ops import StochasticDepth

    return _masked(depth, survival, lambda drop: StochasticDepth(drop, "row"))


def timm(depth: int, survival: Tensor) -> Network:
    """Return the network with timm's `DropPath` behind each branch."""
    from timm.layers.drop import DropPath

    return _masked(depth, survival, DropPath)


def skip(depth: int, survival: Tensor) -> Network:
    """Return the network with our gates, one draw per batch.

    The law of fixed depth has the same marginals as independent coins, and at every
    step the expected number of blocks: the time of a step then says more.
    """
    model = plain(depth)
    return model, apply(model, FixedDepth(survival, rescale="test"))


def gather(depth: int, survival: Tensor) -> Network:
    """Return the network with our gates, one draw per sample."""
    model = plain(depth)
    return model, apply(model, Bernoulli(survival, rescale="train"), per="subset")


def never_dropping(depth: int, survival: Tensor) -> Network:
    """Return the network with our gates, all at survival 1."""
    model = plain(depth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing drops is the point
        return model, apply(model, Bernoulli(survival.new_ones(len(survival))))


def _masked(depth: int, survival: Tensor, mask: Callable[[float], nn.Module]) -> Network:
    model: Any = plain(depth)
    for block, p in zip(model.blocks, survival.tolist(), strict=True):
        block.branch.append(mask(1 - p))
    return model, None


SKIP = "ours, per batch (skip)"

IMPLEMENTATIONS: Mapping[str, Implementation] = {
    "torchvision StochasticDepth": torchvision,
    "timm DropPath": timm,
    SKIP: skip,
    "ours, per sample (gather)": gather,
}
"""What is compared, by the name it has in the table."""
