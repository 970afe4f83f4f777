"""What `sdepth plan` shows: a plan, and beside it the schedules that images lead to."""

from typing import Any

import torch
from rich.table import Table
from torch import nn

from .. import surgery
from .._checks import count, fail
from ..training import Alternatives, DepthConfig, alternatives
from ..training.data import Batch, Batches, DataConfig, Splits, load
from ._network import build_network, for_images
from ._outcome import terminal


def planned(
    model: str,
    arguments: dict[str, Any],
    depth: DepthConfig,
    data: tuple[str, str | None, int] | None,
    image_size: int | None,
    seed: int,
    **gating: Any,
) -> tuple[surgery.Plan, Alternatives | None]:
    """Return the plan of a network and, with images, the schedules of the same budget.

    Args:
        model: its name or import path.
        arguments: for it.
        depth: its stochastic depth.
        data: name of the images, their folder, and how many make a batch; None for none.
        image_size: height and width of an image, by which operations are counted.
        seed: of the initial weights and of the order of the images.
        gating: granularity and transitions, as of `surgery.plan`.
    """
    images = _images(depth, data, image_size)
    torch.manual_seed(seed)
    network = build_network(model, for_images(model, images) | arguments)
    choices = None
    if images is not None and data is not None:
        taken = _batches(images, depth.sense_batches, data[2], seed)
        choices = _choices(network, taken, depth, image_size is not None, gating)
    example = None if image_size is None else _example(network, images, image_size)
    return _plan(network, depth, choices, example, gating), choices


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


def _plan(
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
    depth: DepthConfig, data: tuple[str, str | None, int] | None, image_size: int | None
) -> Splits | None:
    """Return the images that sensitivities are estimated on, where they are asked for."""
    if data is None:
        if depth.chosen == "sense":
            raise fail(
                "data", f"given for schedule {depth.schedule}", None, "Example: --data digits."
            )
        return None
    name, directory, batch_size = data
    size = None if image_size is None else count("image_size", image_size)
    limit = depth.sense_batches * batch_size
    return load(DataConfig(name, directory, limit=limit, image_size=size))


def _example(network: nn.Module, images: Splits | None, size: int) -> torch.Tensor:
    side = count("image_size", size)
    if images is not None:
        return torch.randn(2, *images.input_shape)
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        raise fail("image_size", "left out for a model without convolutions", size)
    return torch.randn(2, first.in_channels, side, side)


def print_plan(shown: surgery.Plan, depth: DepthConfig, choices: Alternatives | None) -> None:
    """Print a plan, and what images say beside it."""
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
