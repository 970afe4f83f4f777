"""Which images are for training, for validation and for the test."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from ..._checks import fail


def hold_out(
    size: int, validation: int, limit: int | None, seed: int
) -> tuple[Int[Tensor, " train"], Int[Tensor, " validation"]]:
    """Divide the training images by one random permutation of them.

    The last `validation` images of the permutation are held out, the first `limit` of
    the others are trained on. So neither depends on the other's number, and a smaller
    limit takes a part of what a larger one takes.

    Args:
        size: number of training images.
        validation: number to hold out, less than `size`.
        limit: number to train on, at most size - validation; None takes all of them.
        seed: of the permutation.

    Returns:
        Rows to train on, rows held out.

    Raises:
        InvalidArgument: more images asked for than there are.

    Example:
        >>> train, validation = hold_out(50_000, validation=5_000, limit=None, seed=0)
        >>> len(train), len(validation)
        (45000, 5000)

    References:
        Huang et al. 2016, section 4 and their program (`cifar-dataset.lua`).
    """
    if validation >= size:
        raise fail("data.validation", f"less than the {size} training images", validation)
    left = size - validation
    order = torch.randperm(size, generator=Generator().manual_seed(seed))
    return order[:left][: drawn("data.limit", left, limit)], order[left:]


def drawn(field: str, size: int, limit: int | None) -> int:
    """Return how many of `size` images to draw, refusing more than there are."""
    if limit is not None and limit > size:
        raise fail(field, f"at most {size}, the images there are", limit)
    return size if limit is None else limit
