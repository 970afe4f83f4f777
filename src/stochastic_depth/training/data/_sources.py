"""From a configuration to labelled images, not yet decoded."""

from collections.abc import Mapping
from pathlib import Path

from ..._errors import DataError
from ._config import DataConfig
from ._digits import TRAIN_SIZE, read_digits
from ._folder import read_folder
from ._hub import read_hub
from ._parquet import parquet_files, read_parquet
from ._records import SPLIT_WORDS, Records, Source


def read(config: DataConfig) -> Source:
    """Describe the splits that a configuration needs, with their labels checked.

    Args:
        config: which data set.

    Returns:
        A source with non-empty splits train and test, and class names.

    Raises:
        DataError: data that is missing or corrupt, or labels that are not 0..K-1.
    """
    source = _read(config)
    splits = _needed(source, config)
    return Source(source.name, splits, _class_names(source, splits))


def _read(config: DataConfig) -> Source:
    if config.name == "digits":
        train_size = (config.limit or TRAIN_SIZE) + (config.validation or 0)
        return read_digits(train_size, config.split_seed)
    return read_hub(config.name) if config.folder is None else _read_folder(config.folder)


def _read_folder(folder: Path) -> Source:
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder with images; there is none of that name.")
    if parquet_files(folder):
        return read_parquet(folder)
    inside = sorted(entry.name for entry in folder.iterdir())
    if not any(name.lower() in SPLIT_WORDS for name in inside):
        listed = ", ".join(inside[:10]) or "nothing"
        raise DataError(
            f"{folder} must hold parquet files or a folder train/<class>/; it holds {listed}."
        )
    return read_folder(folder)


def _needed(source: Source, config: DataConfig) -> dict[str, Records]:
    """Return the splits that are needed, the held-out one as test where there is one only."""
    splits = dict(source.splits)
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    for split in ("train", "test"):
        if not len(splits.get(split, ())):
            found = ", ".join(source.splits)
            raise DataError(f"{source.name} must have a non-empty split {split}; it has {found}.")
    if config.validation is not None:
        splits.pop("validation", None)
    if config.name != "svhn":
        splits.pop("extra", None)
    return splits


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
    return names
