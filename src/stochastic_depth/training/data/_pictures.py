"""Encoded images on the disk: files, tables of `datasets`, and members of tar archives."""

import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..._errors import DataError
from ._records import SPLIT_WORDS, Records, Source, integer_labels, open_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")


@dataclass(frozen=True, eq=False)
class Files:
    """Image files.

    Args:
        paths: (N,), bytes: one block of memory, which processes share; a list of texts would be
            copied as each of them counts its references.
    """

    paths: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Files":
        """Return the images of these files."""
        return cls(np.array([os.fsencode(path) for path in paths], dtype=np.bytes_))

    def open(self, index: int) -> Image.Image:
        """Read a file and open its image."""
        place = self.where(index)
        return open_image(BytesIO(Path(place).read_bytes()), place)

    def where(self, index: int) -> str:
        """Return the path of a file."""
        return os.fsdecode(self.paths[index])


@dataclass(frozen=True, eq=False)
class Cells:
    """A column of a table of `datasets`, which is mapped into memory from its file.

    Args:
        table: with nothing but the column.
        column: its name.
        name: of the table, for messages.
    """

    table: Any
    column: str
    name: str

    def open(self, index: int) -> Image.Image:
        """Read a cell and open its image."""
        return cell_image(self.table[index][self.column], self.where(index))

    def where(self, index: int) -> str:
        """Return the name of the table and the row."""
        return f"{self.name}, row {index}"


def cell_image(cell: Any, where: str) -> Image.Image:
    """Open the image of one cell: encoded bytes, or a mapping with `bytes`."""
    encoded = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(encoded, bytes):
        raise DataError(f"{where} must hold the bytes of an image; got {type(encoded).__name__}.")
    return open_image(BytesIO(encoded), where)


@dataclass(frozen=True, eq=False)
class Members:
    """Images in tar archives, found by an index of their places.

    Args:
        archives: paths of the archives.
        archive: of which archive each image is, (N,).
        start: its first byte there, (N,).
        size: its bytes, (N,).
        names: of the members, (N,), bytes.
    """

    archives: tuple[Path, ...]
    archive: np.ndarray
    start: np.ndarray
    size: np.ndarray
    names: np.ndarray

    def open(self, index: int) -> Image.Image:
        """Read a member and open its image."""
        with self.archives[self.archive[index]].open("rb") as file:
            file.seek(int(self.start[index]))
            encoded = file.read(int(self.size[index]))
        return open_image(BytesIO(encoded), self.where(index))

    def where(self, index: int) -> str:
        """Return the archive and the name of a member."""
        return f"{self.archives[self.archive[index]]}, {os.fsdecode(self.names[index])}"


def read_webdataset(folder: Path) -> Source:
    """Describe the splits of a folder of WebDataset shards.

    A sample is the members of one name before the first dot: an image, and its class in a
    member that ends in `.cls`. The split of a shard is the first word of its name.

    Args:
        folder: holds the archives, or sub-folders with them.

    Returns:
        The splits; the headers and the classes are read, images are not.

    Raises:
        DataError: a damaged archive, or a sample without an image or a class.
    """
    shards: dict[str, list[Path]] = {}
    for path in tar_files(folder):
        shards.setdefault(split_of(path), []).append(path)
    return Source(str(folder), {split: _members(paths) for split, paths in shards.items()})


def tar_files(folder: Path) -> list[Path]:
    """Return the tar archives of a folder and of the folders in it."""
    return sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")])


def _members(paths: Sequence[Path]) -> Records:
    rows = [(shard, *row) for shard, path in enumerate(paths) for row in _samples(path)]
    archive, start, size, label = (
        np.array([row[column] for row in rows], dtype=np.int64) for column in (0, 1, 2, 4)
    )
    names = np.array([os.fsencode(row[3]) for row in rows], dtype=np.bytes_)
    members = Members(tuple(paths), archive, start, size, names)

    def images() -> Iterator[Image.Image]:
        return map(members.open, range(len(rows)))

    labels = integer_labels(label, str(paths[0].parent))
    return Records(labels, images, members.where, tuple(paths), lambda cache: members)


def _samples(path: Path) -> Iterator[tuple[int, int, str, int]]:
    """Yield first byte, bytes, name and class of the images of an archive."""
    images: dict[str, tuple[int, int, str]] = {}
    classes: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                key, _, suffix = name.partition(".")
                key, suffix = f"{folder}/{key}", f".{suffix.lower()}"
                if suffix in IMAGE_SUFFIXES:
                    images[key] = (member.offset_data, member.size, member.name)
                elif suffix == ".cls" and (file := archive.extractfile(member)):
                    classes[key] = int(file.read())
    except (tarfile.TarError, OSError, ValueError) as error:
        raise DataError(f"{path} must be a whole WebDataset shard ({error}).") from error
    odd = images.keys() ^ classes.keys()
    if odd:
        raise DataError(
            f"{path} must hold an image and a .cls for every sample; one is missing of "
            f"{min(odd).lstrip('/')}."
        )
    for key, place in images.items():
        yield (*place, classes[key])


def split_of(path: Path) -> str:
    """Return the split that the name of a file, or of its folder, says."""
    words = (path.name.replace("_", "-").replace(".", "-").split("-")[0], path.parent.name)
    for word in words:
        if word.lower() in SPLIT_WORDS:
            return SPLIT_WORDS[word.lower()]
    raise DataError(
        f"{path} must say which split it holds; its name must begin with train, validation or test."
    )


def arrow_table(paths: Iterable[Path], cache: Path) -> Any:
    """Return parquet files as one table whose rows can be read in any order.

    Rows of a parquet file cannot: they are copied once, as they are, to the cache.

    Raises:
        DataError: a damaged file, or a cache without room.
    """
    import datasets  # slow to import, and images in memory do without

    files = [str(path) for path in paths]
    try:
        return datasets.load_dataset(
            "parquet", data_files={"train": files}, split="train", cache_dir=str(cache / "arrow")
        )
    except Exception as error:  # of the files, the disk or the builders, wrapped by `datasets`
        cause = error.__cause__ or error
        raise DataError(
            f"{files[0]} must be copied to {cache} to be read in any order ({cause}). "
            "Pass another data.cache_dir, or data.loading stream."
        ) from error


def cells_of(table: Any, column: str, name: str) -> Cells:
    """Return the images of a column, not decoded."""
    from datasets import Image as ImageFeature

    part = table.select_columns([column])
    if isinstance(part.features[column], ImageFeature):
        part = part.cast_column(column, ImageFeature(decode=False))
    return Cells(part, column, name)


def parquet_pictures(paths: Sequence[Path], column: str, name: str, cache: Path) -> Cells:
    """Return the images of parquet files, ready to be opened in any order."""
    return cells_of(arrow_table(paths, cache), column, name)
