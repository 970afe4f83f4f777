"""The record of one run: what a run directory says, read once and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl

from .._checks import one_of
from .._errors import DataError, InvalidArgument
from ._files import read_gates, read_json, read_metrics, read_yaml

Part = TypeVar("Part", "BlockRecord", "Summary")
STATUSES = ("running", "finished", "failed")


@dataclass(frozen=True)
class BlockRecord:
    """One residual block of the network of a run."""

    index: int
    path: str
    kind: str
    droppable: bool
    reason: str
    cost: float
    survival: float


@dataclass(frozen=True)
class Summary:
    """The figures of a finished run: errors in per cent, depths in blocks, shares in (0, 1]."""

    best_epoch: int | None
    best_validation_error: float | None
    test_error_at_best: float | None
    test_error_last: float | None
    train_error_running: float
    train_error_final: float
    seconds: float
    realised_depth: float
    live_share: float
    live_cost: float


@dataclass(frozen=True)
class RunRecord:
    """What one run directory says.

    Args:
        directory: Where it was read from.
        config: The resolved configuration, as plain nested mappings, so that a record stays
            readable when the configuration classes change.
        name: Name of the recipe.
        variant: Name of the variant within a comparison.
        seed: Seed of the run; runs of one seed share split, initialisation and batches.
        status: `"running"`, `"finished"` or `"failed"`.
        error: What went wrong, or nothing.
        command: The command line that started it.
        started: Time of the start, ISO 8601.
        finished: Time of the end, ISO 8601, or nothing.
        versions: Versions of the libraries.
        hardware: Processor, cores, threads, accelerator.
        data: Name of the data set, its sizes and number of classes.
        blocks: The residual blocks, in order.
        summary: The figures of a finished run, `None` before.
        metrics: One row per finished epoch.
        gates: Realised gates (steps, L), or `None` before any were written.
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
            directory: A directory that `sdepth train` or `sdepth compare` wrote.

        Returns:
            The record.

        Raises:
            DataError: A file is missing or damaged, or the files contradict each other.
        """
        directory = Path(directory)
        run = read_json(directory / "run.json")
        blocks = tuple(_build(BlockRecord, block, directory) for block in run.get("blocks") or ())
        summary = run.get("summary")
        return cls(
            directory=directory,
            config=read_yaml(directory / "config.yaml"),
            **_identity(run, directory),
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
    def epochs_done(self) -> int:
        """Number of finished epochs."""
        return self.metrics.height


def _identity(run: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Return the plain fields of run.json."""
    try:
        one_of("status", run.get("status"), STATUSES)
        identity = {key: run[key] for key in ("name", "variant", "seed", "status", "data")}
    except (KeyError, InvalidArgument) as error:
        raise DataError(f"{directory / 'run.json'} is not the record of a run: {error}") from error
    texts = {key: run.get(key) or "" for key in ("error", "command", "started", "finished")}
    return identity | texts | {key: run.get(key) or {} for key in ("versions", "hardware")}


def _build(kind: type[Part], values: Mapping[str, Any], directory: Path) -> Part:
    """Return the dataclass `kind` filled from `values`, which may hold more."""
    names = [item.name for item in fields(kind)]
    absent = [name for name in names if name not in values]
    if absent:
        raise DataError(
            f"{directory / 'run.json'} lacks {kind.__name__}.{absent[0]}; "
            "it was written by another version. Run the training again."
        )
    return kind(**{name: values[name] for name in names})
