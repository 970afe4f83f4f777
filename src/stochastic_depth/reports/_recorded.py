"""The measures and columns that reports read from a run; they are named only here."""

from ..experiments import (
    EPOCH_SECONDS,
    LIVE_COST,
    LIVE_SHARE,
    SECONDS,
    TRAIN_ERROR_FINAL,
    TRAIN_ERROR_RUNNING,
    Comparison,
    Measure,
    RunRecord,
)

# Columns of the metrics, one row an epoch.
TEST_ERROR, VALIDATION_ERROR, TRAIN_ERROR = "test_error", "validation_error", "train_error"
TEST_LOSS, TRAIN_LOSS = "test_loss", "train_loss"
TIME, GRADIENT = "seconds", "gradient_first_convolution"
EXPECTED_DEPTH, REALISED_DEPTH = "expected_depth", "realised_depth"

__all__ = [
    "EPOCH_SECONDS",
    "EXPECTED_DEPTH",
    "GRADIENT",
    "LIVE_COST",
    "LIVE_SHARE",
    "REALISED_DEPTH",
    "SECONDS",
    "TEST_ERROR",
    "TEST_LOSS",
    "TIME",
    "TRAIN_ERROR",
    "TRAIN_ERROR_FINAL",
    "TRAIN_ERROR_RUNNING",
    "TRAIN_LOSS",
    "VALIDATION_ERROR",
    "Measure",
    "first_runs",
]


def first_runs(comparison: Comparison) -> dict[str, RunRecord]:
    """Return the first run of each variant, which represents the others."""
    firsts: dict[str, RunRecord] = {}
    for run in comparison.runs:
        firsts.setdefault(run.variant, run)
    return firsts
