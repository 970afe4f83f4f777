"""Decoded images, kept on disk so that they are decoded once."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ..._errors import DataError
from ._decode import decode, survey
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
        folder = Path(cache_dir).expanduser() if cache_dir else _user_cache()
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
    for index, pixels in enumerate(decode(records, layout)):
        array[index] = pixels
    if isinstance(array, np.memmap):
        array.flush()
    return array


def _fingerprint(records: Records, image_size: int | None) -> str:
    digest = hashlib.sha256(repr((FORMAT, image_size)).encode())
    for file in records.files:
        status = file.stat()
        digest.update(repr((str(file.resolve()), status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()[:32]


def _user_cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "stochastic_depth"
