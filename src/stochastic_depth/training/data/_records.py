"""What every kind of source is brought to: splits of labelled images, not yet decoded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..._errors import DataError

# Pillow tries every format it knows, which takes longer than decoding a small image.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF")

# The words by which a file, a folder or a hub split says what it is for.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "extra": "extra",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


class Pictures(Protocol):
    """Encoded images, opened one at a time, in any order and by any process."""

    def open(self, index: int) -> Image.Image:
        """Return an image; its pixels are decoded later."""
        ...

    def where(self, index: int) -> str:
        """Name the place of an image for the reader of an error."""
        ...


@dataclass(frozen=True, eq=False)
class Records:
    """One split, its images still encoded.

    Args:
        labels: (N,), int64.
        images: opens the images anew, in order; each may be read once.
        where: names the place of an image for the reader of an error.
        files: what the images are read from; none where they are in memory anyway.
        pictures: makes the images ready to be opened in any order, with a cache folder at hand.
    """

    labels: Int[Tensor, " N"]
    images: Callable[[], Iterator[Image.Image]]
    where: Callable[[int], str]
    files: tuple[Path, ...] = ()
    pictures: Callable[[Path], Pictures] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set, its images still encoded.

    Args:
        name: for messages.
        splits: by canonical name: train, extra, validation, test.
        class_names: K names; none where the data set has none.
        notes: sentences on what was made of its splits.
    """

    name: str
    splits: Mapping[str, Records]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_image(encoded: IO[bytes] | Path, where: str) -> Image.Image:
    """Open an image; its pixels are decoded later."""
    try:
        return Image.open(encoded, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(f"{where} must be an image; it is of no known format.") from error
    except Exception as error:  # Pillow's decoders raise a dozen unrelated classes
        raise DataError(f"{where} must be an image; it cannot be read ({error}).") from error


def integer_labels(labels: np.ndarray, where: str) -> Int[Tensor, " N"]:
    """Return the labels of one split, refused unless they are integers."""
    if len(labels) and labels.dtype.kind not in "iu":
        given = f"{labels.dtype} such as {labels.tolist()[0]!r}"
        raise DataError(f"The labels of {where} must be integers, none missing; got {given}.")
    return torch.from_numpy(labels.astype(np.int64))
