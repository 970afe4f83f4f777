"""`sdepth plan`: what stochastic depth does to a model."""

from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn

from .. import surgery
from .._checks import count, fail
from ..training import Alternatives, DepthConfig, LinearRule, ScheduleName, alternatives
from ..training.data import Batch, Batches, DataConfig, Splits, load
from ._network import build_network, for_images
from ._outcome import terminal, write_json


def plan(
    model: str,
    schedule: ScheduleName = "linear",
    last: float | None = None,
    rule: LinearRule = "huang",
    exponent: float | None = None,
    probabilities: tuple[float, ...] | None = None,
    budget: float | None = None,
    minimum: float | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    batches: int = 4,
    batch_size: int = 128,
    seed: int = 0,
    granularity: surgery.Granularity = "block",
    transitions: surgery.Transitions = "protect",
    image_size: int | None = None,
    arguments: dict[str, Any] | None = None,
    json: Path | None = None,
) -> int:
    """Show which blocks of a model may drop, which never do and why, and what it saves.

    With --data, sensitivities are estimated on images at the initial weights, and the schedule
    that they lead to stands beside the uniform and the linear one of the same budget.

    Example: sdepth plan torchvision/resnet50 --schedule linear --last 0.8 --rule linspace

    Example: sdepth plan torchvision/resnet18 --schedule sense --budget 0.6 --data cifar10
    --image-size 64

    Args:
        model: torchvision/NAME, timm/NAME, or the import path of a module class.
        schedule: of the survival probabilities over depth; sense goes by sensitivities, and
            auto chooses between uniform and sense by the budget.
        last: survival probability at the end of the schedule.
        rule: which linear schedule.
        exponent: of the power schedule.
        probabilities: of the fixed schedule, one per block.
        budget: expected active share of the blocks, in place of last.
        minimum: smallest survival probability of the sense schedule.
        data: images for sensitivities: digits, fashion-mnist, cifar10, cifar100, svhn, a hub
            id or the path of a folder.
        data_dir: folder that holds the named data set; it is downloaded otherwise.
        batches: batches over which sensitivities are averaged.
        batch_size: images of one batch.
        seed: of the initial weights and of the order of the images.
        granularity: a gate per block, or per residual branch.
        transitions: protect blocks whose shortcut is a projection, or drop them.
        image_size: count the budget in floating point operations, on square images of this size.
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
        minimum=minimum,
        sense_batches=batches,
    )
    images = _images(depth, data, data_dir, image_size, batches * batch_size)
    torch.manual_seed(seed)
    network = build_network(model, for_images(model, images) | (arguments or {}))
    gating: dict[str, Any] = {"granularity": granularity, "transitions": transitions}
    choices = None
    if images is not None:
        taken = _batches(images, batches, batch_size, seed)
        choices = _choices(network, taken, depth, image_size is not None, gating)
    example = None if image_size is None else _example(network, images, image_size)
    shown = _planned(network, depth, choices, example, gating)
    _print(shown, depth, choices)
    beside = {} if choices is None else {"alternatives": choices.to_dict()}
    write_json(shown.to_dict() | beside, json)
    return 0


def _batches(images: Splits, number: int, size: int, seed: int) -> list[Batch]:
    order = Batches(images.train, size, seed)
    return [order.batch(0, index) for index in range(min(number, len(order)))]


def _choices(
    network: nn.Module,
    batches: list[Batch],
    depth: DepthConfig,
    by_cost: bool,
    gating: dict[str, Any],
) -> Alternatives:
    if depth.budget is None:
        raise fail("budget", "given beside data", None, "Schedules are compared at one budget.")
    minimum = depth.minimum or 0.0
    return alternatives(network, batches, depth.budget, minimum=minimum, by_cost=by_cost, **gating)


def _planned(
    network: nn.Module,
    depth: DepthConfig,
    choices: Alternatives | None,
    example: torch.Tensor | None,
    gating: dict[str, Any],
) -> surgery.Plan:
    if choices is not None and depth.chosen == "sense":
        return surgery.plan(network, choices.of("sense"), example=example, **gating)
    scheduled = depth.survival if depth.budget is None else depth.family
    return surgery.plan(network, scheduled, budget=depth.budget, example=example, **gating)


def _images(
    depth: DepthConfig, data: str | None, data_dir: str | None, image_size: int | None, number: int
) -> Splits | None:
    """Return the images that sensitivities are estimated on, where they are asked for."""
    if data is None:
        if depth.chosen == "sense":
            raise fail(
                "data", f"given for schedule {depth.schedule}", None, "Example: --data digits."
            )
        return None
    size = None if image_size is None else count("image_size", image_size)
    return load(DataConfig(data, data_dir, limit=number, image_size=size))


def _example(network: nn.Module, images: Splits | None, size: int) -> torch.Tensor:
    side = count("image_size", size)
    if images is not None:
        return torch.randn(2, *images.input_shape)
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise fail("image_size", "left out for a model without convolutions", size)
    return torch.randn(2, first.in_channels, side, side)


def _print(shown: surgery.Plan, depth: DepthConfig, choices: Alternatives | None) -> None:
    if depth.schedule == "auto":
        print(depth.reason, end=".\n\n")
    print(shown)
    if choices is None:
        return
    table = Table("block", "path", title="Survival at one budget", title_justify="left", box=None)
    for heading in ("|S_l|", *choices.survival):
        table.add_column(heading, justify="right")
    for block in choices.blocks:
        size = f"{choices.sensitivities[block.index]:.3g}"
        survival = (f"{p[block.index]:.3f}" for p in choices.survival.values())
        table.add_row(str(block.index), str(block), size, *survival)
    table.add_section()
    depths = (f"{float(p.sum()):.2f}" for p in choices.survival.values())
    costs = (f"{choices.live_cost(name):.1%}" for name in choices.survival)
    table.add_row("", "expected blocks", "", *depths)
    table.add_row("", "operations of the blocks", "", *costs)
    console = terminal()
    console.print()
    console.print(table)
    for name, why in choices.refused.items():
        console.print(f"{name}: {why}", soft_wrap=True)
