"""What a block costs, measured by leaving it out."""

from collections.abc import Sequence

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


def ideal_share(live: Tensor, kinds: Tensor, left_out: Sequence[float], emptied: float) -> float:
    """Return the share of the constant step that remains when dropped blocks cost nothing.

        1 - sum_l (1 - live_l) c_l,   c_l = b (1 - left_out_k) / n_k,   sum_l c_l = 1 - emptied

    The factor b would be 1 without noise. It settles that all blocks together cost what
    leaving out all of them saves: the sum of four small differences is much less sure.

    Args:
        live: share of samples that run each block, shape (L,).
        kinds: kind k of each block, shape (L,).
        left_out: time of a step without the n_k blocks of each kind k, over that at constant
            depth.
        emptied: the same without any block.
    """
    present = kinds.unique().tolist()
    saved = [1 - left_out[kind] for kind in present]
    dropped = [float((1 - live[kinds == kind]).mean()) for kind in present]
    factor = (1 - emptied) / sum(saved)
    return 1 - factor * sum(d * s for d, s in zip(dropped, saved, strict=True))
