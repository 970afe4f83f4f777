"""The record of a run, read back: once, whole, and each failure said in words.

run = RunRecord.read("runs/first")
run.metrics["test_error"]                     # a column of `record.COLUMNS`
MEASURES["test_error_at_best"](run)           # a number of the finished run, None before
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl

from .._checks import given, one_of
from .._errors import DataError, InvalidArgument
from .._fields import fits
from .._mappings import read_json, read_yaml
from ._run_directory import abandoned
from .record import COLUMNS, STATUSES, BlockRecord, Summary

Part = TypeVar("Part", BlockRecord, Summary)
SCHEMA = {name: pl.Int64 if column.kind is int else pl.Float64 for name, column in COLUMNS.items()}


@dataclass(frozen=True)
class RunRecord:
    """What one run directory says.

    Args:
        directory: where it was read from.
        config: the resolved configuration, as plain nested mappings, so that a record stays
            readable when the configuration classes change.
        name: name of the recipe.
        variant: name of the variant within a comparison.
        seed: seed of the run; runs of one seed share split, initialisation and batches.
        status: one of `record.STATUSES`; a run whose process has died is interrupted, though
            it could not say so.
        error: what went wrong, or nothing.
        command: the command line that started it.
        started: time of the start, ISO 8601.
        finished: time of the end, ISO 8601, or nothing.
        versions: versions of the libraries.
        hardware: processor, cores, threads, accelerator.
        data: name of the data set, its sizes and number of classes.
        blocks: the residual blocks, in order.
        summary: the figures of a finished run, None before.
        metrics: one row per finished epoch.
        gates: realised gates (steps, L), or None before any were written.
    """

    directory: Path
    config: Mapping[str, Any]
    name: str
    variant: str
    seed: int
    status: str
    error: str
    command: str
    started: str
    finished: str
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    data: Mapping[str, Any]
    blocks: tuple[BlockRecord, ...]
    summary: Summary | None
    metrics: pl.DataFrame = field(repr=False)
    gates: np.ndarray | None = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a record that contradicts itself."""
        if self.status == "finished" and self.summary is None:
            raise DataError(f"{self.directory} says it is finished, but run.json has no summary.")
        if self.status == "finished" and self.metrics.is_empty():
            raise DataError(f"{self.directory} says it is finished, but metrics.csv has no rows.")

    @classmethod
    def read(cls, directory: str | Path) -> Self:
        """Read a run directory; one that is still training gives the epochs so far.

        Args:
            directory: a directory that `sdepth train` or `sdepth compare` wrote.

        Raises:
            DataError: a file is missing or damaged, or the files contradict each other.
        """
        directory = Path(directory)
        run = read_json(directory / "run.json")
        identity = _identity(run, directory)
        if identity["status"] == "running" and abandoned(directory):
            identity["status"] = "interrupted"
        blocks = tuple(_build(BlockRecord, block, directory) for block in run.get("blocks") or ())
        summary = run.get("summary")
        return cls(
            directory=directory,
            config=read_yaml(directory / "config.yaml"),
            **identity,
            blocks=blocks,
            summary=_build(Summary, summary, directory) if summary else None,
            metrics=read_metrics(directory / "metrics.csv"),
            gates=read_gates(directory / "gates.npy", len(blocks)) if blocks else None,
        )

    @property
    def key(self) -> str:
        """Name of the run within a comparison."""
        return f"{self.variant}/seed-{self.seed}"

    @property
    def num_blocks(self) -> int:
        """Number of residual blocks, L."""
        return len(self.blocks)

    @property
    def survival(self) -> np.ndarray:
        """Survival probabilities (L,)."""
        return np.array([block.survival for block in self.blocks])

    @property
    def has_validation(self) -> bool:
        """Whether a validation set was held out."""
        return bool(self.data.get("validation"))

    @property
    def is_text(self) -> bool:
        """Whether a language model was trained: its loss decides, and not its error."""
        return "tokens" in self.data

    @property
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return self.metrics.height


IDENTITY: dict[str, Any] = {"name": str, "variant": str, "seed": int, "data": dict}
IDENTITY |= dict.fromkeys(("error", "command", "started", "finished"), str | None)
IDENTITY |= dict.fromkeys(("versions", "hardware"), dict | None)
IDENTITY |= {"blocks": list[dict] | None, "summary": dict | None}


def _identity(run: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the plain fields of run.json."""
    try:
        one_of("status", run.get("status"), STATUSES)
        identity = {key: run[key] for key in ("name", "variant", "seed", "status", "data")}
    except (KeyError, InvalidArgument) as error:
        raise DataError(f"{directory / 'run.json'} is not the record of a run: {error}") from error
    for key, type_of in IDENTITY.items():
        if not fits(type_of, run.get(key)):
            raise _contradicts(directory, key, run.get(key))
    texts = {key: run.get(key) or "" for key in ("error", "command", "started", "finished")}
    return identity | texts | {key: run.get(key) or {} for key in ("versions", "hardware")}


def _build(kind: type[Part], values: Mapping[str, Any], directory: Path) -> Part:
    """Return the dataclass `kind` filled from `values`, which may hold more."""
    names = [item.name for item in fields(kind)]
    if not isinstance(values, Mapping):
        raise _contradicts(directory, kind.__name__, values)
    needed = (item.name for item in fields(kind) if item.default is MISSING)
    absent = [name for name in needed if name not in values]
    if absent:
        raise DataError(
            f"{directory / 'run.json'} lacks {kind.__name__}.{absent[0]}; "
            "it was written by another version. Run the training again."
        )
    for item in fields(kind):
        if item.name in values and not fits(item.type, values[item.name]):
            raise _contradicts(directory, f"{kind.__name__}.{item.name}", values[item.name])
    return kind(**{name: values[name] for name in names if name in values})


def _contradicts(directory: Path, name: str, value: object) -> DataError:
    return DataError(
        f"{directory / 'run.json'} cannot be read ({name} is {given(value)}). "
        "Run the training again."
    )


@dataclass(frozen=True)
class Measure:
    """One number of a finished run.

    Args:
        title: heading of its column, with the unit.
        of: reads it from a finished run; None where that does not have it.
        decimals: digits after the point that carry meaning.
        quantity: what it is called in a sentence, of a measure that decides.
        unit: of a difference of two, of a measure that decides.
    """

    title: str
    of: Callable[[RunRecord], float | None]
    decimals: int = 2
    quantity: str = "test error"
    unit: str = "points"

    def __call__(self, run: RunRecord) -> float | None:
        """Return the number, or None where the run has not got it."""
        return self.of(run) if run.status == "finished" else None


def _median_epoch(run: RunRecord) -> float | None:
    # The median forgives an epoch in which the machine was busy with something else, or slept.
    median = run.metrics["seconds"].median()
    return median if isinstance(median, float) else None


def _tokens_per_second(run: RunRecord) -> float | None:
    if not run.is_text or run.summary is None:
        return None
    tokens = run.data["train"] * run.data["tokens"] * run.epochs_done
    return float(tokens / run.summary.seconds) if run.summary.seconds else None


def _in_summary(title: str, name: str, decimals: int = 2) -> Measure:
    return Measure(title, lambda run: getattr(run.summary, name), decimals)


TEST_ERROR_AT_BEST = _in_summary("test error at best validation, %", "test_error_at_best")
TEST_ERROR_LAST = _in_summary("test error, last epoch, %", "test_error_last")
TRAIN_ERROR_RUNNING = _in_summary("training error, running, %", "train_error_running")
TRAIN_ERROR_FINAL = _in_summary("training error, final, %", "train_error_final")
TEST_LOSS_AT_BEST = replace(
    _in_summary("test loss at best validation, nats", "test_loss_at_best", 4),
    quantity="test loss",
    unit="nats",
)
TEST_LOSS_LAST = replace(
    TEST_LOSS_AT_BEST,
    title="test loss, last epoch, nats",
    of=_in_summary("", "test_loss_last").of,
)
TOKENS_PER_SECOND = Measure("tokens per second", _tokens_per_second, 0)
SECONDS = _in_summary("training time, s", "seconds", 1)
EPOCH_SECONDS = Measure("median epoch, s", _median_epoch, 3)
REALISED_DEPTH = _in_summary("blocks that ran in a step, mean", "realised_depth")
LIVE_SHARE = _in_summary("live share of blocks", "live_share", 3)
LIVE_COST = _in_summary("live share of cost", "live_cost", 3)

MEASURES = {
    "test_error_at_best": TEST_ERROR_AT_BEST,
    "test_error_last": TEST_ERROR_LAST,
    "train_error_running": TRAIN_ERROR_RUNNING,
    "train_error_final": TRAIN_ERROR_FINAL,
    "seconds": SECONDS,
    "epoch_seconds": EPOCH_SECONDS,
    "realised_depth": REALISED_DEPTH,
    "live_share": LIVE_SHARE,
    "live_cost": LIVE_COST,
    "test_loss_at_best": TEST_LOSS_AT_BEST,
    "test_loss_last": TEST_LOSS_LAST,
    "tokens_per_second": TOKENS_PER_SECOND,
}
"""By name: what is measured of a finished run, as tables and charts call it."""


def read_metrics(path: Path) -> pl.DataFrame:
    """Return one row per finished epoch; a run that has none yet gives an empty table."""
    if not path.exists():
        return pl.DataFrame(schema=SCHEMA)
    try:
        # Not a pattern: a directory may be called run[1].
        table = pl.read_csv(path, schema_overrides=SCHEMA, glob=False)
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=SCHEMA)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _damaged(path, error) from error
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise DataError(
            f"{path} must have the column {absent[0]}; it has {', '.join(table.columns)}."
        )
    if not table["epoch"].is_unique().all():
        raise DataError(f"{path} must have one row per epoch; an epoch appears twice.")
    return table


def read_gates(path: Path, num_blocks: int) -> np.ndarray | None:
    """Return the realised gates (steps, L), or None where the run has written none yet."""
    if not path.exists():
        return None
    try:
        gates = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    if gates.ndim != 2 or gates.shape[1] != num_blocks:
        raise DataError(
            f"{path} must have one column for each of the {num_blocks} blocks; "
            f"its shape is {gates.shape}."
        )
    return gates


def _damaged(path: Path, error: Exception) -> DataError:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path} cannot be read ({first_line}). Run the training again.")
