"""`sdepth plan`: what stochastic depth does to a model."""

from pathlib import Path
from typing import Any, Literal


def plan(
    model: str,
    schedule: str = "linear",
    last: float | None = None,
    rule: Literal["huang", "linspace", "offset"] = "huang",
    exponent: float | None = None,
    probabilities: tuple[float, ...] | None = None,
    budget: float | None = None,
    minimum: float | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    batches: int = 4,
    batch_size: int = 128,
    seed: int = 0,
    granularity: Literal["block", "branch"] = "block",
    transitions: Literal["protect", "drop"] = "protect",
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
    from ..training import DepthConfig
    from ._outcome import write_json
    from ._planning import planned, print_plan

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
    images = None if data is None else (data, data_dir, batch_size)
    shown, choices = planned(
        model,
        arguments or {},
        depth,
        images,
        image_size,
        seed,
        granularity=granularity,
        transitions=transitions,
    )
    print_plan(shown, depth, choices)
    beside = {} if choices is None else {"alternatives": choices.to_dict()}
    write_json(shown.to_dict() | beside, json)
    return 0
