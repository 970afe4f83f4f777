"""The record of a run: all that a run directory says, defined and written here alone.

| file              | holds                                     | written by            |
|-------------------|-------------------------------------------|-----------------------|
| `run.json`        | what `opening` and `Summary` say          | `train`               |
| `metrics.csv`     | one row per epoch: `COLUMNS`              | `History.write`       |
| `evaluations.csv` | `Evaluation`, where some fell in an epoch | `History.write`       |
| `gates.npy`       | gates (steps, L), or shares of a batch    | `DepthRecord.write`   |

`run_record` reads it back. The floors above read a run with `RunRecord.read`, name what they
show of it by `COLUMNS` (of an epoch) and `run_record.MEASURES` (of a finished run), and list
none of these names again.
"""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._files import write_text
from .._provenance import hardware, versions

if TYPE_CHECKING:
    from ._prepare import Prepared

Row = Mapping[str, float | None]
"""One row of a table, by column; None is an empty cell."""

STATUSES = ("running", "finished", "failed", "interrupted")
"""What may be said of a run; it was interrupted if it ended by a wish, and can go on."""


class Column(NamedTuple):
    """A column of `metrics.csv`: the type of its numbers, and its title with the unit."""

    kind: type[float]
    title: str


COLUMNS = {
    "epoch": Column(int, "epoch"),
    "step": Column(int, "step"),
    "lr": Column(float, "learning rate"),
    "train_loss": Column(float, "training loss, nats"),
    "train_error": Column(float, "training error, %"),
    "validation_loss": Column(float, "validation loss, nats"),
    "validation_error": Column(float, "validation error, %"),
    "test_loss": Column(float, "test loss, nats"),
    "test_error": Column(float, "test error, %"),
    "seconds": Column(float, "seconds per epoch"),
    "expected_depth": Column(float, "expected blocks"),
    "realised_depth": Column(float, "realised blocks"),
    "expected_cost": Column(float, "expected share of the cost"),
    "realised_cost": Column(float, "realised share of the cost"),
    "gradient_first_convolution": Column(float, "mean |gradient|, first convolution"),
}


class Score(NamedTuple):
    """Mean loss, and share of wrong answers in per cent."""

    loss: float
    error: float


@dataclass(frozen=True)
class Evaluation:
    """The network after `step` steps, in evaluation mode: losses, and errors in per cent.

    None where there are no images of that kind, or where nothing was evaluated.
    """

    epoch: int
    step: int
    validation_loss: float | None = None
    validation_error: float | None = None
    test_loss: float | None = None
    test_error: float | None = None

    @classmethod
    def of(
        cls, epoch: int, step: int, validation: Score | None, test: Score | None
    ) -> "Evaluation":
        """Return the evaluation with these scores."""
        return cls(epoch, step, *(validation or (None, None)), *(test or (None, None)))


@dataclass
class History:
    """Rows of `metrics.csv`, one per epoch, and evaluations; oldest first.

    Args:
        by: what the best evaluation has the lowest of: `"error"`, or of text `"loss"`.
    """

    rows: list[Row] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    by: Literal["error", "loss"] = "error"

    @property
    def best(self) -> Evaluation | None:
        """The first of the evaluations that validation finds best, if anything was validated."""
        validated = [item for item in self.evaluations if item.validation_error is not None]
        return min(validated, key=attrgetter(f"validation_{self.by}"), default=None)

    @property
    def last_step(self) -> int | None:
        """The step of the last evaluation, if there was one."""
        return self.evaluations[-1].step if self.evaluations else None

    def during(self, epoch: int) -> Evaluation:
        """Return the last evaluation within an epoch; one of nothing if there was none."""
        known = [item for item in self.evaluations if item.epoch == epoch]
        return known[-1] if known else Evaluation(epoch, 0)

    def write(self, directory: Path) -> None:
        """Write `metrics.csv`, and `evaluations.csv` where some fell within an epoch."""
        write_text(directory / "metrics.csv", _table(tuple(COLUMNS), self.rows))
        if {item.step for item in self.evaluations} - {row["step"] for row in self.rows}:
            rows = [asdict(item) for item in self.evaluations]
            write_text(directory / "evaluations.csv", _table(tuple(rows[0]), rows))

    def state_dict(self) -> dict[str, Any]:
        """Return the history as plain lists and numbers."""
        return {"rows": self.rows, "evaluations": [asdict(item) for item in self.evaluations]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the history of a checkpoint."""
        self.rows = list(state["rows"])
        self.evaluations = [Evaluation(**item) for item in state["evaluations"]]


def _table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
    """The figures of a finished run: errors in per cent, depths in blocks, shares in (0, 1].

    Losses are in nats: of text, those of a token.
    """

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
    test_loss_at_best: float | None = None
    test_loss_last: float | None = None


def opening(
    prepared: "Prepared", before: Mapping[str, Any], *, variant: str | None, command: str
) -> dict[str, Any]:
    """Return `run.json` of a run that begins, or goes on where `before` was written."""
    config, splits, survival = prepared.config, prepared.splits, prepared.survival.tolist()
    return {
        "name": config.name,
        "variant": variant or ("stochastic depth" if config.depth.enabled else "constant depth"),
        "seed": config.seed,
        "status": "running",
        "error": None,
        "pid": os.getpid(),
        "command": command,
        "started": before.get("started") or now(),
        "finished": None,
        "versions": versions("lightning"),
        "hardware": hardware(),
        "data": {
            "name": config.data.name,
            "train": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
            "classes": splits.num_classes,
            **({"tokens": splits.targets_each} if splits.is_text else {}),
            "notes": list(splits.notes),
            "skipped": before.get("data", {}).get("skipped", []),
        },
        "blocks": [
            asdict(block) | {"survival": survival[block.index]} for block in prepared.blocks
        ],
        "summary": None,
    }


def ended(error: BaseException) -> dict[str, Any]:
    """Return what `run.json` says of a run that an error, a signal or Ctrl-C has ended."""
    if isinstance(error, Exception):
        return {"status": "failed", "error": str(error), "finished": now()}
    return {"status": "interrupted", "error": None, "finished": now()}


def finished(summary: Summary) -> dict[str, Any]:
    """Return what `run.json` says of a run that is done."""
    return {"status": "finished", "finished": now(), "summary": asdict(summary)}


def now() -> str:
    """Return the time as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
