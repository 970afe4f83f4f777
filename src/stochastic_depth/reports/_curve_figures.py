"""The figures whose horizontal axis is the epoch."""

from collections.abc import Iterator

from ..experiments import Comparison
from . import charts
from ._figure import Figure
from ._words import counted, listing, provenance

# Column of the metrics: title of the figure, title of the axis, what to see.
CURVES = {
    "test_error": (
        "Test error",
        "test error, %",
        "Lower is better. What counts is the gap at the end, beside the width of the bands.",
    ),
    "train_error": (
        "Training error",
        "training error, %",
        "Measured on each batch as it is trained on, so with blocks dropped. A curve that "
        "reaches zero has nothing left to learn from the training images.",
    ),
    "validation_error": (
        "Validation error",
        "validation error, %",
        "On images held out from training; the epoch of its minimum is the one whose test "
        "error is reported.",
    ),
    "test_loss": (
        "Test loss",
        "test loss, nats",
        "A loss that rises while the error does not is growing over-confidence. A lower test "
        "loss is not by itself a lower test error.",
    ),
    "train_loss": (
        "Training loss",
        "training loss, nats",
        "Measured on each batch as it is trained on, so with blocks dropped.",
    ),
}

HOW_DRAWN = (
    "Lines: mean; bands: lowest to highest seed; the axis fits the last three quarters of training."
)


def curve_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield the curves of every column that was measured."""
    for column, (title, axis, sight) in CURVES.items():
        if charts.over_seeds(comparison, column).is_empty():
            continue
        marks = []
        if column == "test_error" and _validated(comparison):
            marks = [charts.best_epochs(comparison)]
            sight += " Circles mark the epoch of lowest validation error of each run."
        caption = f"{sight} {HOW_DRAWN} {provenance(comparison)}"
        chart = charts.curves(comparison, column, axis, *marks)
        yield Figure(column, title, caption, _ends(comparison, column, axis), chart)


def timing_figure(comparison: Comparison) -> Figure:
    """Return seconds per epoch beside the ideal."""
    caption = (
        "Training alone, without evaluation. Dotted: the median of "
        f"{comparison.baseline} times the live share of the cost, which is what would be left "
        f"if a dropped block cost nothing. {_conditions(comparison)}"
    )
    description = _ends(comparison, "seconds", "seconds per epoch")
    return Figure("timing", "Time per epoch", caption, description, charts.timing(comparison))


def gradient_figure(comparison: Comparison) -> Figure:
    """Return the size of the gradient that reaches the first convolution."""
    column, axis = "gradient_first_convolution", "mean |gradient|, first convolution"
    caption = (
        "How much of the gradient reaches the first convolution; logarithmic. It also falls "
        f"as the training loss does. {provenance(comparison)}"
    )
    chart = charts.curves(comparison, column, axis, log=True)
    return Figure("gradient", "Gradient", caption, _ends(comparison, column, axis), chart)


def _validated(comparison: Comparison) -> bool:
    return any(run.summary and run.summary.best_epoch is not None for run in comparison.runs)


def _ends(comparison: Comparison, column: str, axis: str) -> str:
    """Return the last value of every curve, in words."""
    table = charts.over_seeds(comparison, column)
    ends = []
    for variant in comparison.variants:
        rows = table.filter(variant=variant)
        if not rows.is_empty():
            last = rows.row(-1, named=True)
            ends.append(f"{variant} {last['mean']:.4g} in epoch {last['epoch']}")
    return f"Line chart, {axis} over epochs. At the end: {listing(ends)}."


def _conditions(comparison: Comparison) -> str:
    """Return how the runs shared the machine, which decides what a time means."""
    hardware = comparison.runs[0].hardware
    threads = counted(int(hardware.get("threads") or 1), "thread")
    if comparison.plan is None:
        return f"Each run had {threads}."
    if comparison.plan.processes == 1:
        return f"The variants of a seed ran one after the other, each with {threads}."
    together = counted(comparison.plan.processes, "run")
    return f"Up to {together} at a time, those of a seed next to each other; each had {threads}."
