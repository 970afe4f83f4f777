"""From a configuration to examples: which to train on, to validate and to test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from PIL import Image
from torch import Generator, Tensor

from ..._checks import fail
from ..._errors import DataError
from ..._files import user_cache
from ._augment import augmentation_of
from ._data_config import DataConfig
from ._decode import decoded
from ._hold_out import draw_share, drawn, hold_out, hold_out_svhn, join_svhn
from ._image_set import ImageSet, fit_normalization
from ._load_text import load_text
from ._photographs import MEASURED, Photographs
from ._records import Records, Source
from ._sources import read
from ._splits import Examples, Splits
from ._streams import load_streams
from ._views import centre_view, checked, mixing_of, training_view

MEMORY = 4 * 2**30  # bytes of pixels that are held in memory unless asked otherwise
TENTH = 0.1  # of every class is the test, where the data have no other

Images = TypeVar("Images", ImageSet, Photographs)


def load(config: DataConfig) -> Splits:
    """Load a data set: images as here, text by `load_text`.

    A data set with one held-out split, `validation` or `test`, is tested on it. With
    both, `validation` serves as such unless `config.validation` says how many training
    images to hold out instead. With none, a tenth of every class is the test.

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
    if config.loading == "stream":
        return load_streams(config)
    source = read(config)
    mixing_of(config, len(source.class_names))  # to be refused here; it is built later
    if _in_memory(config, source):
        return _load_to_memory(config, source)
    return _load_from_disk(config, source)


def _in_memory(config: DataConfig, source: Source) -> bool:
    if config.loading != "auto":
        return config.loading == "memory"
    return not config.needs_disk and _bytes(config, source) <= MEMORY


def _bytes(config: DataConfig, source: Source) -> int:
    """Return how many bytes the pixels of all images are, the first standing for the others."""
    number = sum(map(len, source.splits.values()))
    if config.image_size is not None:
        return number * 3 * config.image_size**2
    first: Image.Image | None = next(iter(source.splits["train"].images()), None)
    return number * (3 * first.width * first.height if first else 0)


def _load_to_memory(config: DataConfig, source: Source) -> Splits:
    (train, validation, test), notes = _divide(_joined(_decode(source, config), config), config)
    _, channels, height, width = train.images.shape
    _check_augmentation(config, channels, height, width)
    normalization = fit_normalization(train.images, config.normalization)
    sets = [replace(part, normalization=normalization) for part in (train, validation, test)]
    held = sum(part.images.nbytes for part in sets)
    note = f"held in memory: {written(held)} of pixels, decoded once"
    return _splits(source, sets, (channels, height, width), (note, *notes))


def _load_from_disk(config: DataConfig, source: Source) -> Splits:
    if config.image_size is None:
        requirement = f"given for images that are not held in memory (above {written(MEMORY)})"
        raise fail("data.image_size", requirement, None, "Example: --image-size 224.")
    if config.name == "svhn":
        raise fail("data.loading", "memory for svhn, of which parts are joined", "disk")
    if config.shift:
        raise fail("data.shift", "0 for images that are not held in memory", config.shift)
    skipped: dict[str, None] = {}
    sets = {split: _photographs(part, config, skipped) for split, part in source.splits.items()}
    parts, notes = _divide(sets, config)
    normalization = parts[0].measured(_spread(len(parts[0])), config.normalization)
    training = checked(training_view(config, normalization))
    own = [replace(part, normalization=normalization, training=training) for part in parts]
    note = f"read from the disk in every epoch, by {own[0].processes or 'no'} worker processes"
    return _splits(source, own, own[0].input_shape, (note, *notes))


def _splits(
    source: Source, parts: Sequence[Examples], shape: tuple[int, ...], notes: tuple[str, ...]
) -> Splits:
    train, validation, test = parts
    return Splits(
        train=train,
        validation=validation,
        test=test,
        num_classes=len(source.class_names),
        class_names=source.class_names,
        input_shape=shape,
        notes=(*source.notes, *notes),
    )


def _photographs(records: Records, config: DataConfig, skipped: dict[str, None]) -> Photographs:
    if records.pictures is None:
        raise fail("data.loading", "memory for images that come in no files", config.loading)
    centre = centre_view(config)
    return Photographs(
        records.pictures(user_cache(config.cache_dir)),
        torch.arange(len(records)),
        records.labels,
        centre,
        training=centre,
        workers=config.workers,
        corrupt=config.corrupt,
        skipped=skipped,
    )


def _spread(size: int) -> Tensor:
    """Return rows at equal distances, to be measured in place of all."""
    return torch.linspace(0, size - 1, min(MEASURED, size), dtype=torch.float64).long()


def written(number: int) -> str:
    """Return a number of bytes in words.

    Example:
        >>> written(3 * 2**30)
        '3.0 GiB'
    """
    unit = next((u for u in (30, 20, 10) if number >= 2**u), 10)
    return f"{number / 2**unit:.1f} {'kMG'[unit // 10 - 1]}iB"


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


def _joined(sets: Mapping[str, ImageSet], config: DataConfig) -> Mapping[str, ImageSet]:
    """Return the splits, the two training parts of SVHN as one."""
    if config.name != "svhn":
        return sets
    if config.validation is None:
        return hold_out_svhn(sets, config.split_seed)
    return join_svhn(sets)


def _divide(
    sets: Mapping[str, Images], config: DataConfig
) -> tuple[tuple[Images, Images, Images], tuple[str, ...]]:
    """Carve out what is held out, draw as many of the others as asked for, and say so."""
    notes: list[str] = []
    train, seed = sets["train"], config.split_seed
    given = "validation" in sets
    if "test" in sets:
        test = sets["test"]
    else:
        rows, held_out = draw_share(train.labels, TENTH, seed)
        test, train = train.subset(held_out), train.subset(rows)
        notes.append(f"{len(test):,} training images, a tenth of every class, are the test")
    if isinstance(config.validation, float):
        share = 0.0 if given else config.validation
        rows, held_out = draw_share(train.labels, share, seed + 1)
        if not given:
            notes.append(f"{len(held_out):,} training images are held out to validate")
        rows = rows[: drawn("data.limit", len(rows), config.limit)]
    else:
        rows, held_out = hold_out(len(train), config.held_out or 0, config.limit, seed)
    validation = sets["validation"] if given else train.subset(held_out)
    number = drawn("data.test_limit", len(test), config.test_limit)
    test_rows = torch.randperm(len(test), generator=Generator().manual_seed(seed))[:number]
    return (train.subset(rows), validation, test.subset(test_rows)), tuple(notes)
