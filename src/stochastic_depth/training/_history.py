"""What was measured so far: one row per epoch, and every evaluation."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from .._files import write_text
from ._running_mean import Score

COLUMNS = (
    "epoch",
    "step",
    "lr",
    "train_loss",
    "train_error",
    "validation_loss",
    "validation_error",
    "test_loss",
    "test_error",
    "seconds",
    "expected_depth",
    "realised_depth",
    "expected_cost",
    "realised_cost",
    "gradient_first_convolution",
)

Row = Mapping[str, float | None]
"""One row of a table, by column; None is an empty cell."""


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
    """Rows of `metrics.csv`, one per epoch, and evaluations; oldest first."""

    rows: list[Row] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def best(self) -> Evaluation | None:
        """The first evaluation with the lowest validation error, if anything was validated."""
        validated = [item for item in self.evaluations if item.validation_error is not None]
        return min(validated, key=attrgetter("validation_error"), default=None)

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
        write_text(directory / "metrics.csv", _table(COLUMNS, self.rows))
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
