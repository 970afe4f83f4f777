"""From a configuration to labelled images, not yet decoded: digits, folders, tables."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Generator, Tensor

from ..._checks import fail
from ..._errors import DataError
from ._data_config import DataConfig
from ._pictures import IMAGE_SUFFIXES, Files, read_webdataset, tar_files
from ._records import SPLIT_WORDS, Records, Source, open_image
from ._tabular import parquet_files, read_hub, read_parquet

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder


def read(config: DataConfig) -> Source:
    """Describe the splits that a configuration needs, with their labels checked.

    Args:
        config: which data set.

    Returns:
        A source with a non-empty split train, perhaps others, and class names.

    Raises:
        DataError: data that is missing or corrupt, or labels that are not 0..K-1.
    """
    source = _read(config)
    splits, notes = _needed(source, config)
    return Source(source.name, splits, _class_names(source, splits), notes)


def _read(config: DataConfig) -> Source:
    if config.name == "digits":
        train_size = (config.limit or TRAIN_SIZE) + (config.held_out or 0)
        return read_digits(train_size, config.split_seed)
    return read_hub(config.name) if config.folder is None else _read_local(config.folder)


def _read_local(folder: Path) -> Source:
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder with images; there is none of that name.")
    if parquet_files(folder):
        return read_parquet(folder)
    if tar_files(folder):
        return read_webdataset(folder)
    inside = sorted(folder.iterdir())
    if any(entry.name.lower() in SPLIT_WORDS for entry in inside):
        return read_folder(folder)
    classes = [entry for entry in inside if entry.is_dir() and _holds_image(entry)]
    if len(classes) > 1:
        return _undivided(folder)
    listed = ", ".join(entry.name for entry in inside[:10]) or "nothing"
    raise DataError(
        f"{folder} must hold parquet files, WebDataset shards, a folder of images for every class, "
        f"or a folder train/<class>/; it holds {listed}."
    )


def _needed(source: Source, config: DataConfig) -> tuple[dict[str, Records], tuple[str, ...]]:
    """Return the splits that are needed, the held-out one as test where there is one only."""
    splits = dict(source.splits)
    notes = let_validation_test(splits)
    for split in ("train", *(name for name in ("test",) if name in splits)):
        if not len(splits.get(split, ())):
            found = ", ".join(source.splits)
            raise DataError(f"{source.name} must have a non-empty split {split}; it has {found}.")
    if config.held_out is not None:
        splits.pop("validation", None)
    if config.name != "svhn":
        splits.pop("extra", None)
    return splits, notes


def let_validation_test(splits: dict[str, Any]) -> tuple[str, ...]:
    """Make the validation split the test where there is no other; return what to say of it."""
    if "test" in splits or "validation" not in splits:
        return ()
    splits["test"] = splits.pop("validation")
    return ("the split validation is the test: the data have no split test",)


def _class_names(source: Source, splits: Mapping[str, Records]) -> tuple[str, ...]:
    """Return the names of the classes, refusing labels that are not 0..K-1."""
    highest = int(splits["train"].labels.max())
    names = source.class_names or tuple(str(label) for label in range(highest + 1))
    for split, records in splits.items():
        wrong = ((records.labels < 0) | (records.labels >= len(names))).nonzero()
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"Labels must be 0 to {len(names) - 1}; {records.where(row)} ({split}) has "
                f"{int(records.labels[row])}."
            )
    absent = set(range(len(names))) - set(splits["train"].labels.unique().tolist())
    if absent and not source.class_names:
        raise DataError(
            f"Labels must be 0 to {highest} without a gap; {source.name} has no training "
            f"image of class {min(absent)}."
        )
    for split, records in splits.items():
        unlearned = absent & set(records.labels.unique().tolist())
        if unlearned:
            raise DataError(
                f"Every class must have an image to train on; {names[min(unlearned)]} has some in "
                f"{split} alone, of {source.name}."
            )
    return names


TRAIN_SIZE = 1000  # images in the training part unless the configuration limits it
GREY_LEVELS = 16


def read_digits(train_size: int, seed: int) -> Source:
    """Split the digits into a training part, equally many of each class, and the rest.

    Args:
        train_size: number of training images; of each class floor or ceil of a tenth,
            as long as there are as many.
        seed: of the draw.

    Returns:
        The splits train and test.

    Raises:
        InvalidArgument: nothing is left to test on.
    """
    from sklearn.datasets import load_digits  # slow to import, and the other sources do without

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / GREY_LEVELS)).astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    if train_size >= len(labels):
        most = f"at most {len(labels) - 1}, the rest being the test"
        raise fail("data.limit plus data.validation", most, train_size)
    order = balanced_order(labels, torch.Generator().manual_seed(seed))
    parts = {"train": order[:train_size], "test": order[train_size:]}
    splits = {name: _digit_records(pixels, labels, rows) for name, rows in parts.items()}
    return Source("digits", splits, tuple(str(digit) for digit in digits.target_names))


def balanced_order(labels: Int[Tensor, " N"], generator: Generator) -> Int[Tensor, " N"]:
    """Shuffle so that every beginning of the order has its classes as equal as can be.

    Args:
        labels: (N,), 0..K-1.
        generator: of the shuffle.

    Returns:
        A permutation (N,): a random image of every class, then another of every class,
        and so on until the classes run out.
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    turn = torch.zeros_like(shuffled)  # how many of its class come before an image
    for label in shuffled.unique():
        own = shuffled == label
        turn[own] = torch.arange(int(own.sum()))
    return order[turn.argsort(stable=True)]


def _digit_records(pixels: np.ndarray, labels: Tensor, rows: Tensor) -> Records:
    def images() -> Iterator[Image.Image]:
        return map(Image.fromarray, pixels[rows.numpy()])

    return Records(labels[rows], images, partial("digits, image {}".format))


def read_folder(folder: Path) -> Source:
    """Describe the splits of an image folder.

    Args:
        folder: holds `train/<class>/<image>`, and `val` or `test` of the same classes.

    Returns:
        The splits; classes are numbered in the order of their names.

    Raises:
        DataError: an empty class folder, or splits with different classes.
    """
    parts = {
        SPLIT_WORDS[part.name.lower()]: _scan(part)
        for part in sorted(folder.iterdir())
        if part.is_dir() and part.name.lower() in SPLIT_WORDS
    }
    (reference, first), *rest = parts.items()
    for split, part in rest:
        odd = set(first.classes).symmetric_difference(part.classes)
        if odd:
            raise DataError(
                f"{folder} must have the same class folders in {reference} and {split}; "
                f"only one of them has {', '.join(sorted(odd))}."
            )
    splits = {split: _folder_records(part) for split, part in parts.items()}
    return Source(str(folder), splits, tuple(first.classes))


def _undivided(folder: Path) -> Source:
    """Describe a folder that holds `<class>/<image>`, all of it to be divided."""
    part = _scan(folder)
    return Source(str(folder), {"train": _folder_records(part)}, tuple(part.classes))


def _holds_image(folder: Path) -> bool:
    return any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in folder.iterdir())


def _scan(part: Path) -> "ImageFolder":
    from torchvision.datasets import ImageFolder  # slow to import, and the other sources do without

    try:
        return ImageFolder(str(part))
    except FileNotFoundError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{part} must hold one folder of images per class; {reason}") from error


def _folder_records(part: "ImageFolder") -> Records:
    files = tuple(Path(path) for path, _ in part.samples)

    def images() -> Iterator[Image.Image]:
        for file in files:
            with open_image(file, str(file)) as image:
                yield image

    labels = torch.tensor(part.targets, dtype=torch.int64)
    return Records(
        labels, images, lambda index: str(files[index]), files, lambda _: Files.of(files)
    )
