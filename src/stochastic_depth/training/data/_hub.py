"""Data sets of the Hugging Face hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..._errors import DataError
from ._columns import cell_image, image_and_label
from ._records import SPLIT_WORDS, Records, Source, integer_labels

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

    identifier, configuration = HUB.get(name, (name, None))
    try:
        parts = datasets.load_dataset(identifier, configuration)
    except Exception as error:  # whatever the network, the hub and its builders raise
        remedy = "Pass the folder of a local copy, data.data_dir for a named data set."
        reason = str(error).splitlines()[0]
        raise DataError(f"{identifier} cannot be loaded ({reason}). {remedy}") from error
    known = {SPLIT_WORDS[split]: part for split, part in parts.items() if split in SPLIT_WORDS}
    if not known:
        raise DataError(f"{identifier} must have a split train; it has {', '.join(parts)}.")
    splits = {split: _records(part, f"{identifier}, {split}") for split, part in known.items()}
    return Source(identifier, splits, _class_names(next(iter(known.values())), identifier))


def _records(part: Any, name: str) -> Records:
    from datasets import Image as ImageFeature

    column, label = image_and_label(part.column_names, name)
    cells = part.select_columns([column]).cast_column(column, ImageFeature(decode=False))

    def where(index: int) -> str:
        return f"{name}, row {index}"

    def images() -> Iterator[Image.Image]:
        for index, row in enumerate(cells):
            yield cell_image(row[column], where(index))

    labels = integer_labels(part.with_format("numpy")[label][:], name)
    files = tuple(Path(entry["filename"]) for entry in part.cache_files)
    return Records(labels, images, where, files)


def _class_names(part: Any, name: str) -> tuple[str, ...]:
    _, label = image_and_label(part.column_names, name)
    return tuple(getattr(part.features[label], "names", ()))
