"""Encoded images -> one array of equal images, kept on disk so that they are decoded once."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import avg_pool2d
from tqdm import tqdm

from ..._errors import DataError
from ..._files import user_cache
from ._records import Records

FORMAT = 1  # raise it when the same files are decoded to something else


def decoded(
    records: Records, image_size: int | None, cache_dir: str | None
) -> Shaped[Tensor, "N C H W"]:
    """Return all images of a split, decoded now or by an earlier call.

    The copy on disk is mapped into memory: processes that train on the same images
    share one copy, and a data set larger than the memory is paged in as it is read.

    Args:
        records: the images, at least one.
        image_size: height and width, or None to keep them.
        cache_dir: folder of decoded copies; None is the user's cache folder.

    Returns:
        (N, C, H, W), uint8 or float16 in 0..255, channels-last in memory.

    Raises:
        DataError: a corrupt image, or a cache folder that cannot be used.
    """
    if not records.files:
        array = _fill(records, image_size, path=None)
    else:
        folder = user_cache(cache_dir)
        path = folder / f"{_fingerprint(records, image_size)}.npy"
        try:
            if not path.exists():
                _write(records, image_size, path)
            # Copy on write: the tensor may be written to, the file never is.
            array = np.load(path, mmap_mode="c")
        except DataError:
            raise
        except (OSError, ValueError) as error:
            remedy = "Pass another data.cache_dir, or delete the file."
            raise DataError(f"{path} must be readable and writable ({error}). {remedy}") from error
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def _write(records: Records, image_size: int | None, path: Path) -> None:
    """Write the file under another name first: a file of the right name is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        _fill(records, image_size, Path(name))
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _fill(records: Records, image_size: int | None, path: Path | None) -> np.ndarray:
    layout = survey(records, image_size)
    shape = (len(records), layout.height, layout.width, layout.channels)
    if path is None:
        array = np.empty(shape, layout.dtype)
    else:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=layout.dtype, shape=shape)
        _reserve(path)
    for index, pixels in enumerate(decode(records, layout)):
        array[index] = pixels
    if isinstance(array, np.memmap):
        array.flush()
    return array


def _reserve(path: Path) -> None:
    """Take the room of a file: a disk that fills up under a memory map ends the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _fingerprint(records: Records, image_size: int | None) -> str:
    digest = hashlib.sha256(repr((FORMAT, image_size)).encode())
    for file in records.files:
        status = file.stat()
        digest.update(repr((str(file.resolve()), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]


GREY_MODES = {"1", "L", "LA"}
WIDE_MODES = ("I", "F")  # more than 8 bits per channel


@dataclass(frozen=True)
class Layout:
    """What the images of a split are decoded to.

    Args:
        height: of the decoded images.
        width: of the decoded images.
        channels: 1 if all images are grey, else 3.
        block: size of the squares of pixels whose mean is one pixel; None resamples.
    """

    height: int
    width: int
    channels: int
    block: int | None

    @property
    def dtype(self) -> type[np.generic]:
        """The exact type for what `render` gives: means of 2x2 bytes fit into float16."""
        return np.uint8 if self.block in (None, 1) else np.float16

    def render(self, image: Image.Image) -> np.ndarray:
        """Return the pixels (height, width, channels) of one image, in 0..255."""
        image = image.convert("L" if self.channels == 1 else "RGB")
        if self.block is None:
            # Pillow's bilinear filter widens with the reduction: it is antialiased.
            size, filter_ = (self.width, self.height), Image.Resampling.BILINEAR
            image = ImageOps.fit(image, size, filter_)
        pixels = np.asarray(image).reshape(image.height, image.width, self.channels)
        return self._block_means(pixels) if self.block else pixels

    def _block_means(self, pixels: np.ndarray) -> np.ndarray:
        block = self.block or 1
        height, width = self.height * block, self.width * block
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        centre = pixels[top : top + height, left : left + width]
        if block == 1:
            return centre
        means = avg_pool2d(torch.from_numpy(centre.astype(np.float32)).permute(2, 0, 1), block)
        return means.permute(1, 2, 0).numpy()


def survey(records: Records, image_size: int | None) -> Layout:
    """Read the headers of all images and decide what to decode them to.

    Without `image_size` all images must have one size, and keep it. With it they become
    squares: the centre of each image, its shorter side brought to `image_size`, by the
    mean of blocks of pixels where all images have one size and the ratio is whole, by
    antialiased bilinear interpolation otherwise.

    Args:
        records: at least one image.
        image_size: height and width, or None.

    Returns:
        The layout.

    Raises:
        DataError: sizes that differ, more than 8 bits per channel, a corrupt header.
    """
    sizes, modes = _headers(records)
    for mode, index in modes.items():
        if mode.startswith(WIDE_MODES):
            raise DataError(
                f"{records.where(index)} must have 8 bits per channel; got mode {mode}."
            )
    channels = 1 if modes.keys() <= GREY_MODES else 3
    (width, height), *others = sizes
    if image_size is not None:
        whole = not others and min(width, height) % image_size == 0
        block = min(width, height) // image_size if whole else None
        return Layout(image_size, image_size, channels, block)
    if others:
        first, second = (f"{records.where(sizes[s])} has {s}" for s in list(sizes)[:2])
        raise DataError(f"All images must have one size; {first}, {second}. Pass data.image_size.")
    return Layout(height, width, channels, block=1)


def _headers(records: Records) -> tuple[dict[tuple[int, int], int], dict[str, int]]:
    """Return every (width, height) and every mode, with the first image that has it."""
    sizes: dict[tuple[int, int], int] = {}
    modes: dict[str, int] = {}
    for index, image in enumerate(_with_progress(records, "looking at images")):
        sizes.setdefault(image.size, index)
        modes.setdefault(image.mode, index)
    return sizes, modes


def decode(records: Records, layout: Layout) -> Iterator[np.ndarray]:
    """Decode the images one by one.

    Args:
        records: the images.
        layout: what to decode them to.

    Yields:
        Pixels (height, width, channels).

    Raises:
        DataError: a corrupt or truncated image.
    """
    for index, image in enumerate(_with_progress(records, "decoding images")):
        try:
            pixels = layout.render(image)
        except Exception as error:  # Pillow's decoders raise a dozen unrelated classes
            where = records.where(index)
            raise DataError(f"{where} must be an image; it is corrupt ({error}).") from error
        yield pixels


def _with_progress(records: Records, doing: str) -> Iterator[Image.Image]:
    """Open the images with a progress bar on a terminal, if it takes more than two seconds."""
    bar = tqdm(records.images(), doing, len(records), delay=2, leave=False, disable=None)
    return iter(bar)
