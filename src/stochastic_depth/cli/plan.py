"""`sdepth plan`: what stochastic depth does to a model."""

import json as json_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import surgery
from .._checks import count, fail
from ..training import DepthConfig
from ..training._depth import LinearRule, ScheduleName
from ._network import build_network


def plan(
    model: str,
    schedule: ScheduleName = "linear",
    last: float | None = None,
    rule: LinearRule = "huang",
    exponent: float | None = None,
    probabilities: tuple[float, ...] | None = None,
    budget: float | None = None,
    granularity: surgery.Granularity = "block",
    transitions: surgery.Transitions = "protect",
    image_size: int | None = None,
    arguments: dict[str, Any] | None = None,
    json: Path | None = None,
) -> int:
    """Show which blocks of a model may drop, which never do and why, and what it saves.

    Example: sdepth plan torchvision/resnet50 --schedule linear --last 0.8 --rule linspace

    Args:
        model: torchvision/NAME, timm/NAME, or the import path of a module class.
        schedule: of the survival probabilities over depth.
        last: survival probability at the end of the schedule.
        rule: which linear schedule.
        exponent: of the power schedule.
        probabilities: of the fixed schedule, one per block.
        budget: expected active share of the blocks, in place of last.
        granularity: a gate per block, or per residual branch.
        transitions: protect blocks whose shortcut is a projection, or drop them.
        image_size: measure costs in floating point operations on square images of this size.
        arguments: keyword arguments of the model.
        json: also write the plan here.

    Returns:
        0.
    """
    depth = DepthConfig(
        schedule=schedule,
        last=last,
        rule=rule,
        exponent=exponent,
        probabilities=probabilities,
        budget=budget,
    )
    network = build_network(model, arguments or {})
    shown = surgery.plan(
        network,
        depth.survival if budget is None else depth.family,
        budget=budget,
        granularity=granularity,
        transitions=transitions,
        example=None if image_size is None else _images(network, image_size),
    )
    print(shown)
    if json is not None:
        json.write_text(json_module.dumps(shown.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 0


def _images(network: nn.Module, size: int) -> torch.Tensor:
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise fail("image_size", "left out for a model without convolutions", size)
    side = count("image_size", size)
    return torch.randn(2, first.in_channels, side, side)
