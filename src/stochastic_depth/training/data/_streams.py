"""Photographs in shards, each read from its first image to its last and shuffled on the way.

For sets that cannot be read in any order: on a hub, on slow disks, or too large to be copied.
The order of an epoch is a function of (seed, epoch). To go on within an epoch, what came before
is read again, but not decoded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from ..._checks import fail
from ..._errors import DataError
from ._data_config import DataConfig
from ._photographs import MEASURED, Photographs, Share
from ._pictures import IMAGE_SUFFIXES, cell_image
from ._records import SPLIT_WORDS, Source
from ._sources import let_validation_test, read
from ._splits import Splits
from ._tabular import IMAGE_COLUMNS, LABEL_COLUMNS, hub_place, opened, require_column
from ._views import centre_view, checked, mixing_of, seed_of, training_view

SHUFFLED = 1000  # encoded images among which the next one is drawn
IMAGES = (*IMAGE_COLUMNS, *(suffix[1:] for suffix in IMAGE_SUFFIXES))
LABELS = (*LABEL_COLUMNS, "cls")
BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}


@dataclass(frozen=True)
class Shards:
    """Where the shards of a split are, as `datasets.load_dataset` takes it.

    Args:
        path: a builder, or a hub id.
        split: its name there.
        configuration: of a hub id that has several.
        files: of a builder.
    """

    path: str
    split: str = "train"
    configuration: str | None = None
    files: tuple[str, ...] = ()

    def open(self) -> Any:
        """Return an iterable of `datasets`, at its beginning, its images not decoded."""
        import datasets

        files = {"data_files": {self.split: list(self.files)}} if self.files else {}
        stream = opened(
            self.name,
            lambda: datasets.load_dataset(
                self.path, self.configuration, split=self.split, streaming=True, **files
            ),
        )
        columns = tuple(stream.features or next(iter(stream)))
        image, label = (require_column(columns, names, self.name) for names in (IMAGES, LABELS))
        if stream.features and isinstance(stream.features[image], datasets.Image):
            stream = stream.cast_column(image, datasets.Image(decode=False))
        return stream.select_columns([image, label]).rename_columns(
            {name: own for name, own in ((image, "image"), (label, "label")) if name != own}
        )

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{str(Path(self.files[0]).parent) if self.files else self.path}, {self.split}"


@dataclass(frozen=True)
class Encoded:
    """Images that come with the order to open them: (number in the epoch, cell).

    Args:
        name: of the stream, for messages.
    """

    name: str

    def open(self, index: Any) -> Image.Image:
        """Open an image."""
        return cell_image(index[1], self.where(index))

    def where(self, index: Any) -> str:
        """Return the file name of an image, as far as the shards tell it."""
        number, cell = index
        known_as = cell.get("path") if isinstance(cell, dict) else None
        return f"{self.name}, {known_as or f'image {number} in the order of its epoch'}"


@dataclass(frozen=True, eq=False)
class PhotoStream(Photographs):
    """Photographs and labels of one split that come in the order of a stream.

    `rows` are numbers in that order, and `labels` come with the images.

    Args:
        shards: to read.
        num_classes: K; a label that is not 0..K-1 is refused when it comes.
    """

    shards: Shards = field(default_factory=lambda: Shards(""))
    num_classes: int = 0

    def subset(self, rows: Int[Tensor, " n"]) -> "PhotoStream":
        """Return as many photographs, from the beginning."""
        return replace(self, rows=self.rows[: len(rows)])

    def targets(self, rows: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the labels of `rows`."""
        return next(self.batches([rows], None, here=True))[1]

    def batches(
        self,
        shares: Iterable[Int[Tensor, " n"]],
        draws: tuple[int, int] | None,
        *,
        here: bool = False,
    ) -> Iterator[tuple[Float[Tensor, "n C H W"], Int[Tensor, " n"]]]:
        """Yield inputs and labels of one share of rows after the other; rows must ascend."""
        return self.load(self._shares(shares, draws), draws is not None, here)

    def _shares(self, shares: Iterable[Tensor], draws: tuple[int, int] | None) -> Iterator[Share]:
        """Yield what is to be opened of each share, read from the stream."""
        coming = enumerate(self._stream(draws))
        position = 0
        for rows in shares:
            wanted = rows.tolist()
            taken = list(islice(coming, wanted[0] - position, wanted[-1] + 1 - position))
            position = wanted[-1] + 1
            if len(taken) < len(wanted):
                raise DataError(
                    f"{self.shards.name} must have {len(self):,} images, as it says; it has "
                    f"ended before image {position:,}."
                )
            labels = [self._checked(number, row["label"]) for number, row in taken]
            yield draws, [(number, row["image"]) for number, row in taken], labels

    def _stream(self, draws: tuple[int, int] | None) -> Iterable[Any]:
        stream = self.shards.open().take(len(self))
        if draws is None:
            return stream
        seed, epoch = draws
        return stream.shuffle(seed=seed_of("shards", seed, epoch) % 2**32, buffer_size=SHUFFLED)

    def _checked(self, number: int, label: Any) -> int:
        if not (isinstance(label, int) and 0 <= label < self.num_classes):
            raise DataError(
                f"Labels must be 0 to {self.num_classes - 1}; image {number} of "
                f"{self.shards.name} has {label!r}."
            )
        return label


def load_streams(config: DataConfig) -> Splits:
    """Describe the splits of a set that is read as a stream.

    Raises:
        DataError: a split that is missing, or whose number of images nobody knows.
        InvalidArgument: images to be held out of a stream, which is not read in any order.
    """
    parts, names, notes = _on_the_hub(config) if config.folder is None else _in_files(config)
    notes += let_validation_test(parts)
    for split in ("train", "test"):
        if split not in parts:
            raise DataError(f"{config.name} must have a split {split} to be read as a stream.")
    if config.validation and "validation" not in parts:
        remedy = "Pass data.validation 0, or data.loading disk."
        requirement = "0 for a stream, of which none can be held out"
        raise fail("data.validation", requirement, config.validation, remedy)
    return _splits(config, parts, names, notes)


Parts = dict[str, tuple[Shards, int]]


def _in_files(config: DataConfig) -> tuple[Parts, tuple[str, ...], tuple[str, ...]]:
    source: Source = read(config)
    parts: Parts = {}
    for split, records in source.splits.items():
        builder = BUILDERS.get(records.files[0].suffix) if records.files else None
        if builder is None:
            requirement = "disk for images that come in no shards"
            raise fail("data.loading", requirement, config.loading)
        files = tuple(str(path) for path in records.files)
        parts[split] = (Shards(builder, files=files), len(records))
    return parts, source.class_names, source.notes


def _on_the_hub(config: DataConfig) -> tuple[Parts, tuple[str, ...], tuple[str, ...]]:
    import datasets

    identifier, configuration = hub_place(config.name)
    about = opened(
        identifier, lambda: datasets.load_dataset_builder(identifier, configuration)
    ).info
    parts: Parts = {}
    for split, its in (about.splits or {}).items():
        if split in SPLIT_WORDS:
            shards = Shards(identifier, split, configuration)
            parts[SPLIT_WORDS[split]] = (shards, its.num_examples)
    features = about.features or {}
    names = getattr(features.get(require_column(features, LABELS, identifier)), "names", None)
    if not names or not parts:
        raise DataError(
            f"{identifier} must say how many images it has, and name its classes, to be read as a "
            "stream. Pass data.loading disk."
        )
    return parts, tuple(names), ()


def _splits(
    config: DataConfig, parts: Parts, names: tuple[str, ...], notes: tuple[str, ...]
) -> Splits:
    mixing_of(config, len(names))  # to be refused here; it is built later
    skipped: dict[str, None] = {}
    limits = {"train": config.limit, "test": config.test_limit}
    sets = {
        split: _photo_stream(shards, number, limits.get(split), config, len(names), skipped)
        for split, (shards, number) in parts.items()
    }
    train = sets["train"]
    rows = torch.arange(min(MEASURED, len(train)))
    normalization = train.measured(rows, config.normalization)
    training = checked(training_view(config, normalization))
    own = {
        split: replace(part, normalization=normalization, training=training)
        for split, part in sets.items()
    }
    none = own["test"].subset(torch.arange(0))
    note = f"read as a stream of shards, by {train.processes or 'no'} worker processes"
    return Splits(
        train=own["train"],
        validation=own.get("validation", none) if config.validation != 0 else none,
        test=own["test"],
        num_classes=len(names),
        class_names=names,
        input_shape=train.input_shape,
        notes=(note, *notes),
    )


def _photo_stream(
    shards: Shards,
    number: int,
    limit: int | None,
    config: DataConfig,
    num_classes: int,
    skipped: dict[str, None],
) -> PhotoStream:
    centre, rows = centre_view(config), torch.arange(min(number, limit or number))
    return PhotoStream(
        Encoded(shards.name),
        rows,
        torch.empty(0, dtype=torch.int64),
        centre,
        training=centre,
        workers=config.workers,
        corrupt=config.corrupt,
        skipped=skipped,
        shards=shards,
        num_classes=num_classes,
    )
