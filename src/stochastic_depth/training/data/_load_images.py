"""From a configuration to examples in memory: which to train on, to validate and to test."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from ..._checks import fail
from ..._errors import DataError
from ._augment import augmentation_of
from ._data_config import DataConfig
from ._decode import decoded
from ._image_set import ImageSet, fit_normalization
from ._load_text import load_text
from ._records import Source
from ._sources import read
from ._splits import Splits


def load(config: DataConfig) -> Splits:
    """Load a data set: images as here, text by `load_text`.

    A data set with one held-out split, `validation` or `test`, is tested on it. With
    both, `validation` serves as such unless `config.validation` says how many training
    images to hold out instead.

    Args:
        config: which images, and how they are prepared.

    Returns:
        The splits, with normalization fitted to the training images.

    Raises:
        DataError: data that is missing, corrupt or badly labelled.
        InvalidArgument: more images asked for than there are, or an augmentation that these
            images cannot have.

    Example:
        >>> splits = load(DataConfig("digits", limit=200))
        >>> len(splits.train), len(splits.test), splits.input_shape
        (200, 1597, (1, 8, 8))
        >>> splits.train.labels.bincount().tolist()
        [20, 20, 20, 20, 20, 20, 20, 20, 20, 20]
    """
    if config.is_text:
        return load_text(config)
    source = read(config)
    train, validation, test = _divide(_decode(source, config), config)
    _, channels, height, width = train.images.shape
    _check_augmentation(config, channels, height, width)
    normalization = fit_normalization(train.images, config.normalization)
    return Splits(
        train=replace(train, normalization=normalization),
        validation=replace(validation, normalization=normalization),
        test=replace(test, normalization=normalization),
        num_classes=len(source.class_names),
        class_names=source.class_names,
        input_shape=(channels, height, width),
    )


def _check_augmentation(config: DataConfig, channels: int, height: int, width: int) -> None:
    side = min(height, width)
    if config.shift >= side:
        raise fail("data.shift", f"less than {side}, the size of the images", config.shift)
    augmentation = augmentation_of(config)
    if augmentation is not None:
        augmentation(torch.zeros(1, channels, height, width), Generator().manual_seed(0))


def _decode(source: Source, config: DataConfig) -> dict[str, ImageSet]:
    images = {
        split: decoded(records, config.image_size, config.cache_dir)
        for split, records in source.splits.items()
    }
    # A split of grey images only, in a data set that has colours elsewhere.
    channels = max(pixels.shape[1] for pixels in images.values())
    images = {split: pixels.expand(-1, channels, -1, -1) for split, pixels in images.items()}
    shapes = {split: tuple(pixels.shape[1:]) for split, pixels in images.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"All splits must have one image size; got {shapes}. Pass data.image_size.")
    return {split: ImageSet(images[split], part.labels) for split, part in source.splits.items()}


def _divide(
    sets: Mapping[str, ImageSet], config: DataConfig
) -> tuple[ImageSet, ImageSet, ImageSet]:
    """Carve out the validation images, and draw as many of the others as asked for."""
    if config.name == "svhn" and config.validation is None:
        sets = hold_out_svhn(sets, config.split_seed)
    elif config.name == "svhn":
        sets = join_svhn(sets)
    train, test = sets["train"], sets["test"]
    rows, held_out = hold_out(len(train), config.validation or 0, config.limit, config.split_seed)
    validation = sets.get("validation", train.subset(held_out))
    number = drawn("data.test_limit", len(test), config.test_limit)
    generator = Generator().manual_seed(config.split_seed)
    test_rows = torch.randperm(len(test), generator=generator)[:number]
    return train.subset(rows), validation, test.subset(test_rows)


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
