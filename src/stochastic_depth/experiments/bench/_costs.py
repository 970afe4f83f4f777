"""What a block costs, measured by leaving it out."""

import torch
from torch import Tensor

from ...models import CifarResNet


def kinds(model: CifarResNet) -> Tensor:
    """Return the kind of each block (L,): its stage 0, 1, 2, or 3 for a transition."""
    widths = [block.branch[0].out_channels for block in model.blocks]  # type: ignore[index, union-attr]
    stages = torch.tensor([sorted(set(widths)).index(width) for width in widths])
    transition = torch.tensor([block.shortcut is not None for block in model.blocks])
    return torch.where(transition, 3, stages)


def without(kind: int, kinds: Tensor) -> Tensor:
    """Return gates (L,) that leave out all blocks of one kind."""
    return (kinds != kind).float()


def ideal_share(live: Tensor, kinds: Tensor, constant: float, left_out: list[float]) -> float:
    """Return the share of the constant step that remains when dropped blocks cost nothing.

        1 - sum_l (1 - live_l) c_l / constant,   c_l = (constant - left_out_k) / n_k

    Args:
        live: share of samples that run each block, shape (L,).
        kinds: kind k of each block, shape (L,).
        constant: seconds of a step at constant depth.
        left_out: seconds of a step without the n_k blocks of each kind k.
    """
    saved = 0.0
    for kind, seconds in enumerate(left_out):
        dropped = 1 - live[kinds == kind]
        saved += float(dropped.sum()) / max(len(dropped), 1) * (constant - seconds)
    return 1 - saved / constant
