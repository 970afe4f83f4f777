"""Which images are held out of training: a number of them, a share of every class, or Huang's."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from ..._checks import fail
from ..._errors import DataError
from ._image_set import ImageSet


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


def draw_share(
    labels: Int[Tensor, " N"], share: float, seed: int
) -> tuple[Int[Tensor, " train"], Int[Tensor, " held_out"]]:
    """Divide images at random, the same share of every class to be held out.

    Args:
        labels: (N,), int64.
        share: in [0, 1); of n images of a class round(share * n) are held out, at most n - 1.
        seed: of the draw.

    Returns:
        Rows to train on, in random order, and rows held out.

    Example:
        >>> train, held_out = draw_share(torch.tensor([0] * 30 + [1] * 10), 0.1, seed=0)
        >>> len(train), (held_out < 30).tolist()
        (36, [True, True, True, False])
    """
    order = torch.randperm(len(labels), generator=Generator().manual_seed(seed))
    marked = _marked(labels, order, lambda label, size: min(round(share * size), size - 1))
    return order[~marked[order]], marked.nonzero().flatten()


def _marked(labels: Tensor, order: Tensor, number: Callable[[int, int], int]) -> Tensor:
    """Mark of each class as many images as `number(class, size)` says, the first in an order."""
    marked = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        own = order[labels[order] == label]
        marked[own[: number(int(label), len(own))]] = True
    return marked


HELD_OUT = {"train": 400, "extra": 200}  # images per class of each training part


def join_svhn(splits: Mapping[str, ImageSet]) -> dict[str, ImageSet]:
    """Join the two training parts.

    Args:
        splits: train, extra and test.

    Returns:
        train and test.

    Raises:
        DataError: a part is missing.
    """
    parts = [_part(splits, name) for name in HELD_OUT]
    return {"train": _join(parts), "test": splits["test"]}


def hold_out_svhn(splits: Mapping[str, ImageSet], seed: int) -> dict[str, ImageSet]:
    """Join the two training parts without 400 + 200 images of each class, held out.

    Args:
        splits: train, extra and test.
        seed: of the draw.

    Returns:
        train, validation and test.

    Raises:
        DataError: a part is missing, or has too few images of a class.

    References:
        Huang et al. 2016, section 4: 598,388 training and 6,000 validation images.
    """
    generator = Generator().manual_seed(seed)
    kept, held_out = [], []
    for name, per_class in HELD_OUT.items():
        part = _part(splits, name)
        order = torch.randperm(len(part), generator=generator)
        marked = _marked(part.labels, order, partial(_of_class, per_class))
        held_out.append(part.subset(marked.nonzero().flatten()))
        kept.append(part.subset((~marked).nonzero().flatten()))
    return {"train": _join(kept), "validation": _join(held_out), "test": splits["test"]}


def _part(splits: Mapping[str, ImageSet], name: str) -> ImageSet:
    if name not in splits:
        raise DataError(f"SVHN must have the splits train, extra and test; {name} is missing.")
    return splits[name]


def _of_class(number: int, label: int, size: int) -> int:
    if size <= number:
        raise DataError(
            f"SVHN must have more than {number} images of class {label} in each training part; "
            f"got {size}. Pass data.validation."
        )
    return number


def _join(parts: list[ImageSet]) -> ImageSet:
    images = torch.cat([part.images for part in parts])
    return ImageSet(images, torch.cat([part.labels for part in parts]))
