"""From a configuration to images in memory."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Generator

from ..._checks import fail
from ..._errors import DataError
from ._cache import decoded
from ._config import DataConfig
from ._image_set import ImageSet, Splits
from ._normalization import fit_normalization
from ._records import Source
from ._sources import read
from ._split import drawn, hold_out
from ._svhn import hold_out_svhn, join_svhn
from ._transforms import augmentation_of


def load(config: DataConfig) -> Splits:
    """Load a data set.

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
        >>> len(splits.train), len(splits.test), splits.image_shape
        (200, 1597, (1, 8, 8))
        >>> splits.train.labels.bincount().tolist()
        [20, 20, 20, 20, 20, 20, 20, 20, 20, 20]
    """
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
        image_shape=(channels, height, width),
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
