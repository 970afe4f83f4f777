"""Tables of images and labels: data sets of the Hugging Face hub, and folders of parquet files."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from ..._errors import DataError
from ._pictures import cell_image, cells_of, parquet_pictures, split_of
from ._records import SPLIT_WORDS, Records, Source, integer_labels

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "fine_labels")


def image_and_label(columns: Collection[str], where: str) -> tuple[str, str]:
    """Return the names of the image and the label column of a table."""
    return (
        require_column(columns, IMAGE_COLUMNS, where),
        require_column(columns, LABEL_COLUMNS, where),
    )


def require_column(columns: Collection[str], names: tuple[str, ...], where: str) -> str:
    """Return the first of several names that a table has as a column."""
    for name in names:
        if name in columns:
            return name
    raise DataError(
        f"{where} must have a column named {' or '.join(names)}; it has {', '.join(columns)}."
    )


# Where the hub keeps the data sets we call by name: id, and configuration where it has several.
HUB = {
    "fashion-mnist": ("zalando-datasets/fashion_mnist", None),
    "cifar10": ("uoft-cs/cifar10", None),
    "cifar100": ("uoft-cs/cifar100", None),
    "svhn": ("ufldl-stanford/svhn", "cropped_digits"),
}


def read_hub(name: str) -> Source:
    """Download a data set, or find it in the cache of `datasets`, and describe its splits.

    Args:
        name: a key of `HUB`, or a hub id.

    Returns:
        The splits; images are not decoded.

    Raises:
        DataError: the data set cannot be had, or lacks an image or a label column.
    """
    import datasets  # slow to import, and the other sources do without

    identifier, configuration = hub_place(name)
    parts = opened(identifier, lambda: datasets.load_dataset(identifier, configuration))
    known = {SPLIT_WORDS[split]: part for split, part in parts.items() if split in SPLIT_WORDS}
    if not known:
        raise DataError(f"{identifier} must have a split train; it has {', '.join(parts)}.")
    splits = {split: _hub_records(part, f"{identifier}, {split}") for split, part in known.items()}
    return Source(identifier, splits, _class_names(next(iter(known.values())), identifier))


def hub_place(name: str) -> tuple[str, str | None]:
    """Return the hub id of a data set, and its configuration where it has several."""
    return HUB.get(name, (name, None))


def opened(identifier: str, load: Callable[[], Any]) -> Any:
    """Return what `datasets` loads.

    Raises:
        DataError: it cannot.
    """
    try:
        return load()
    except Exception as error:  # whatever the network, the hub and its builders raise
        remedy = "Pass the folder of a local copy, data.data_dir for a named data set."
        reason = str(error).splitlines()[0]
        raise DataError(f"{identifier} cannot be loaded ({reason}). {remedy}") from error


def _hub_records(part: Any, name: str) -> Records:
    column, label = image_and_label(part.column_names, name)
    cells = cells_of(part, column, name)

    def images() -> Iterator[Image.Image]:
        for index, row in enumerate(cells.table):
            yield cell_image(row[column], cells.where(index))

    labels = integer_labels(part.with_format("numpy")[label][:], name)
    files = tuple(Path(entry["filename"]) for entry in part.cache_files)
    return Records(labels, images, cells.where, files, lambda cache: cells)


def _class_names(part: Any, name: str) -> tuple[str, ...]:
    _, label = image_and_label(part.column_names, name)
    return tuple(getattr(part.features[label], "names", ()))


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
        shards.setdefault(split_of(path), []).append(_open(path))
    names = next(iter(shards.values()))[0].class_names()
    return Source(
        str(folder), {split: _parquet_records(part) for split, part in shards.items()}, names
    )


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


def _parquet_records(shards: Sequence[_Shard]) -> Records:
    ends = list(accumulate(shard.rows for shard in shards))

    def where(index: int) -> str:
        shard = next(k for k, end in enumerate(ends) if index < end)
        return f"{shards[shard].path}, row {index - ends[shard] + shards[shard].rows}"

    def images() -> Iterator[Image.Image]:
        cells = (cell for shard in shards for cell in shard.cells())
        for index, cell in enumerate(cells):
            yield cell_image(cell, where(index))

    labels = torch.cat([shard.labels() for shard in shards])
    files, first = tuple(shard.path for shard in shards), shards[0]
    pictures = partial(parquet_pictures, files, first.image, str(first.path.parent))
    return Records(labels, images, where, files, pictures)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{path} must be a parquet file; it is corrupt or truncated ({reason}).")
