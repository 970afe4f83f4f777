"""A folder of class folders: train/<class>/*, and val/ or test/ beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from ..._errors import DataError
from ._records import SPLIT_WORDS, Records, Source, open_image

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder


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
    splits = {split: _records(part) for split, part in parts.items()}
    return Source(str(folder), splits, tuple(first.classes))


def _scan(part: Path) -> "ImageFolder":
    from torchvision.datasets import ImageFolder  # slow to import, and the other sources do without

    try:
        return ImageFolder(str(part))
    except FileNotFoundError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{part} must hold one folder of images per class; {reason}") from error


def _records(part: "ImageFolder") -> Records:
    files = tuple(Path(path) for path, _ in part.samples)

    def images() -> Iterator[Image.Image]:
        for file in files:
            with open_image(file, str(file)) as image:
                yield image

    labels = torch.tensor(part.targets, dtype=torch.int64)
    return Records(labels, images, lambda index: str(files[index]), files)
