"""A folder of parquet files, in the layout of Hugging Face `datasets`."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from ..._errors import DataError
from ._columns import cell_image, image_and_label
from ._records import SPLIT_WORDS, Records, Source, integer_labels

ROWS_AT_A_TIME = 256


def parquet_files(folder: Path) -> list[Path]:
    """Return the parquet files of a folder and of the folders in it."""
    # No deeper: a folder of class folders may hold millions of files.
    return sorted([*folder.glob("*.parquet"), *folder.glob("*/*.parquet")])


def read_parquet(folder: Path) -> Source:
    """Describe the splits of a folder of parquet files.

    The split of a file is the first word of its name (`train-00000-of-00005.parquet`),
    or the name of its folder. Class names come from the metadata that `datasets` writes.

    Args:
        folder: holds the files, or sub-folders with them.

    Returns:
        The splits; labels are read, images are not.

    Raises:
        DataError: a corrupt file, a missing column, or labels that are not integers.
    """
    shards: dict[str, list[_Shard]] = {}
    for path in parquet_files(folder):
        shards.setdefault(_split_of(path), []).append(_open(path))
    names = next(iter(shards.values()))[0].class_names()
    return Source(str(folder), {split: _records(part) for split, part in shards.items()}, names)


@dataclass(frozen=True)
class _Shard:
    path: Path
    rows: int
    image: str
    label: str

    def labels(self) -> Tensor:
        try:
            column = pq.read_table(self.path, columns=[self.label])[self.label].to_numpy()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error
        return integer_labels(column, str(self.path))

    def cells(self) -> Iterator[Any]:
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[self.image]):
                    yield from batch.column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from error

    def class_names(self) -> tuple[str, ...]:
        metadata = pq.read_schema(self.path).metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features")
        return tuple((features or {}).get(self.label, {}).get("names", ()))


def _open(path: Path) -> _Shard:
    try:
        with pq.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, file.schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    return _Shard(path, rows, *image_and_label(columns, str(path)))


def _records(shards: Sequence[_Shard]) -> Records:
    ends = list(accumulate(shard.rows for shard in shards))

    def where(index: int) -> str:
        shard = next(k for k, end in enumerate(ends) if index < end)
        return f"{shards[shard].path}, row {index - ends[shard] + shards[shard].rows}"

    def images() -> Iterator[Image.Image]:
        cells = (cell for shard in shards for cell in shard.cells())
        for index, cell in enumerate(cells):
            yield cell_image(cell, where(index))

    labels = torch.cat([shard.labels() for shard in shards])
    return Records(labels, images, where, files=tuple(shard.path for shard in shards))


def _split_of(path: Path) -> str:
    words = (re.split(r"[-_. ]", path.name)[0].lower(), path.parent.name.lower())
    for word in words:
        if word in SPLIT_WORDS:
            return SPLIT_WORDS[word]
    raise DataError(
        f"{path} must say which split it holds; its name must begin with train, validation or test."
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{path} must be a parquet file; it is corrupt or truncated ({reason}).")
