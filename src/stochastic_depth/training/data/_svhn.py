"""SVHN: two training parts, and the validation images of Huang et al."""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from ..._errors import DataError
from ._image_set import ImageSet

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
        marked = _of_each_class(part.labels, per_class, generator)
        held_out.append(part.subset(marked.nonzero().flatten()))
        kept.append(part.subset((~marked).nonzero().flatten()))
    return {"train": _join(kept), "validation": _join(held_out), "test": splits["test"]}


def _part(splits: Mapping[str, ImageSet], name: str) -> ImageSet:
    if name not in splits:
        raise DataError(f"SVHN must have the splits train, extra and test; {name} is missing.")
    return splits[name]


def _of_each_class(labels: Tensor, number: int, generator: Generator) -> Tensor:
    """Mark `number` random images of each class: a boolean vector (N,)."""
    order = torch.randperm(len(labels), generator=generator)
    marked = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        own = order[labels[order] == label]
        if len(own) <= number:
            raise DataError(
                f"SVHN must have more than {number} images of class {int(label)} in each "
                f"training part; got {len(own)}. Pass data.validation."
            )
        marked[own[:number]] = True
    return marked


def _join(parts: list[ImageSet]) -> ImageSet:
    images = torch.cat([part.images for part in parts])
    return ImageSet(images, torch.cat([part.labels for part in parts]))
