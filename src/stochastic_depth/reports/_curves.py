"""Curves over epochs: errors and losses, time, gradient."""

from collections.abc import Iterator

import altair as alt
import numpy as np
import polars as pl

from ..experiments import Comparison
from ._figure import Figure
from ._recorded import (
    EPOCH_SECONDS,
    GRADIENT,
    LIVE_COST,
    TEST_ERROR,
    TEST_LOSS,
    TIME,
    TRAIN_ERROR,
    TRAIN_LOSS,
    VALIDATION_ERROR,
)
from ._theme import colour, dash, layered, only_shown
from ._words import counted, listing, provenance

# Column of the metrics: title of the figure, title of the axis, what to see.
CURVES = {
    TEST_ERROR: (
        "Test error",
        "test error, %",
        "Lower is better. Compare the gap at the end with the width of the bands.",
    ),
    TRAIN_ERROR: (
        "Training error",
        "training error, %",
        "Measured on each training batch, with blocks dropped. A curve that "
        "reaches zero has nothing left to learn from the training images.",
    ),
    VALIDATION_ERROR: (
        "Validation error",
        "validation error, %",
        "On images held out from training; the epoch of its minimum is the one whose test "
        "error is reported.",
    ),
    TEST_LOSS: (
        "Test loss",
        "test loss, nats",
        "A loss that rises while the error does not is growing over-confidence. A lower test "
        "loss is not by itself a lower test error.",
    ),
    TRAIN_LOSS: (
        "Training loss",
        "training loss, nats",
        "Measured on each training batch, with blocks dropped.",
    ),
}

FAR_ABOVE = 3.0  # times the median

HOW_DRAWN = (
    "Lines: mean; bands: lowest to highest seed; the axis fits the last three quarters of training."
)


def curve_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield a curve for every measured column."""
    for column, (title, axis, sight) in CURVES.items():
        if over_seeds(comparison, column).is_empty():
            continue
        marks = []
        if column == TEST_ERROR and _validated(comparison):
            marks = [best_epochs(comparison)]
            sight += " Circles mark the epoch of lowest validation error of each run."
        caption = f"{sight} {HOW_DRAWN} {provenance(comparison)}"
        chart = curve_chart(comparison, column, axis, *marks)
        yield Figure(column, title, caption, _ends(comparison, column, axis), chart)


def timing_figure(comparison: Comparison) -> Figure:
    """Return seconds per epoch beside the ideal."""
    caption = (
        "Training alone, without evaluation. Dotted: the median of "
        f"{comparison.baseline} times the live share of the cost, which is what would be left "
        f"if a dropped block cost nothing. {_conditions(comparison)}"
    )
    description = _ends(comparison, TIME, "seconds per epoch")
    return Figure("timing", "Time per epoch", caption, description, timing_chart(comparison))


def gradient_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield the gradient that reaches the first convolution, if it is recorded."""
    column, axis = GRADIENT, "mean |gradient|, first convolution"
    if over_seeds(comparison, column).filter(pl.col("low") > 0).is_empty():
        return
    caption = (
        "How much of the gradient reaches the first convolution; logarithmic. It also falls "
        f"as the training loss does. {provenance(comparison)}"
    )
    chart = curve_chart(comparison, column, axis, log=True)
    yield Figure("gradient", "Gradient", caption, _ends(comparison, column, axis), chart)


def _validated(comparison: Comparison) -> bool:
    return any(run.summary and run.summary.best_epoch is not None for run in comparison.runs)


def _ends(comparison: Comparison, column: str, axis: str) -> str:
    """Return the last value of every curve, in words."""
    table = over_seeds(comparison, column)
    ends = []
    for variant in comparison.variants:
        rows = table.filter(variant=variant)
        if not rows.is_empty():
            last = rows.row(-1, named=True)
            ends.append(f"{variant} {last['mean']:.4g} in epoch {last['epoch']}")
    return f"Line chart, {axis} over epochs. At the end: {listing(ends)}."


def _conditions(comparison: Comparison) -> str:
    """Return how the runs shared the machine, which tells what a time means."""
    hardware = comparison.runs[0].hardware
    threads = counted(int(hardware.get("threads") or 1), "thread")
    if comparison.plan is None:
        return f"Each run had {threads}."
    if comparison.plan.processes == 1:
        return f"The variants of a seed ran one after another, each with {threads}."
    together = counted(comparison.plan.processes, "run")
    return f"Up to {together} at a time, those of a seed next to each other; each had {threads}."


def curve_chart(
    comparison: Comparison,
    column: str,
    title: str,
    *marks: alt.Chart,
    log: bool = False,
    zero: bool = False,
) -> alt.LayerChart:
    """Draw one column of the metrics over epochs.

    Args:
        comparison: The runs.
        column: A column of `metrics.csv`.
        title: Title of the vertical axis, with the unit.
        marks: Further marks on the same axes.
        log: Whether the vertical axis is logarithmic.
        zero: Whether the vertical axis begins at zero.

    Returns:
        The chart; each variant is a line (mean of its seeds) in a band (lowest to highest). A
        linear axis fits the last three quarters of training, which the first steps would
        otherwise flatten.
    """
    table = over_seeds(comparison, column)
    epochs = max(run.config.get("epochs", run.epochs_done) for run in comparison.runs)
    x = alt.X(
        "epoch:Q",
        title="epoch",
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=min(8, epochs)),
        scale=alt.Scale(domain=[0, epochs], nice=False),
    )
    scale = _log_scale(table) if log else alt.Scale(domain=settled(table, zero=zero))
    axis = alt.Axis(grid=not log)  # a logarithmic axis would draw nine lines per decade
    base = alt.Chart(table).transform_filter(only_shown()).encode(x=x)
    band = base.mark_area(opacity=0.18, clip=True).encode(
        y=alt.Y("low:Q", title=title, scale=scale, axis=axis), y2="high:Q", color=colour(comparison)
    )
    alone = table["epoch"].n_unique() == 1  # one epoch draws no line
    line = base.mark_line(clip=True, point=alone).encode(
        y="mean:Q", color=colour(comparison), strokeDash=dash(comparison)
    )
    return layered(comparison, band, line, *marks, *_hover(comparison, column, base))


def settled(table: pl.DataFrame, *, zero: bool) -> list[float]:
    """Return the range of the bands over the last three quarters of training, with a margin.

    If it starts at zero, a single epoch far above the others (a machine that slept) is cut off.
    """
    epochs = table["epoch"].to_numpy()
    tail = epochs > epochs.max(initial=0) / 4
    lows, highs = (table[name].cast(float).to_numpy()[tail] for name in ("low", "high"))
    low, high = lows.min(), highs.max()
    if zero:
        low, high = 0.0, min(high, FAR_ABOVE * np.median(highs))
    margin = 0.05 * (high - low) or 1.0
    return [float(max(0.0, low - margin)), float(high + margin)]


def _log_scale(table: pl.DataFrame) -> alt.Scale:
    positive = table.filter(pl.col("low") > 0).select("low", "high").to_numpy()
    return alt.Scale(type="log", domain=[float(positive.min()), float(positive.max())], nice=True)


def best_epochs(comparison: Comparison) -> alt.Chart:
    """Mark the epoch of lowest validation error of each run on a curve of the test error."""
    rows = [
        {
            "variant": run.variant,
            "seed": run.seed,
            "epoch": run.summary.best_epoch,
            "test_error": run.summary.test_error_at_best,
        }
        for run in comparison.runs
        if run.summary and run.summary.best_epoch is not None
    ]
    schema = {"variant": pl.String, "seed": pl.Int64, "epoch": pl.Int64, "test_error": pl.Float64}
    return (
        alt.Chart(pl.DataFrame(rows, schema=schema))
        .transform_filter(only_shown())
        .mark_point(size=70, filled=False, strokeWidth=2, opacity=1, clip=True)
        .encode(
            x="epoch:Q",
            y="test_error:Q",
            color=colour(comparison),
            tooltip=[
                alt.Tooltip("variant:N", title="best validation epoch of"),
                alt.Tooltip("seed:O"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("test_error:Q", title="test error, %", format=".2f"),
            ],
        )
    )


def over_seeds(comparison: Comparison, column: str) -> pl.DataFrame:
    """Return mean, lowest and highest value of `column` per variant and epoch.

    Unfinished and failed runs count up to their last epoch.
    """
    tables = [
        run.metrics.select("epoch", value=column, variant=pl.lit(run.variant))
        for run in comparison.runs
    ]
    value = pl.col("value")
    return (
        pl.concat(tables)
        .drop_nulls("value")
        .group_by("variant", "epoch")
        .agg(mean=value.mean(), low=value.min(), high=value.max())
        .sort("variant", "epoch")
        .with_columns(pl.col("mean", "low", "high").round_sig_figs(5))
    )


def _hover(comparison: Comparison, column: str, base: alt.Chart) -> list[alt.Chart]:
    """Return a rule at the epoch under the pointer, with the value of every variant."""
    near = alt.selection_point(
        name=f"near_{column}", fields=["epoch"], nearest=True, on="pointerover", empty=False
    )
    wide = over_seeds(comparison, column).pivot("variant", index="epoch", values="mean")
    names = {name: f"variant_{index}" for index, name in enumerate(comparison.variants)}
    present = {name: column for name, column in names.items() if name in wide.columns}
    tooltip = [alt.Tooltip("epoch:Q")] + [
        alt.Tooltip(f"{column}:Q", title=name, format=".4~g") for name, column in present.items()
    ]
    rule = (
        alt.Chart(wide.rename(present))
        .mark_rule()
        .encode(x="epoch:Q", opacity=alt.condition(near, alt.value(0.6), alt.value(0)))
        .encode(tooltip=tooltip)
        .add_params(near)
    )
    points = base.transform_filter(near).mark_point(filled=True, size=50, opacity=1, clip=True)
    return [points.encode(y="mean:Q", color=colour(comparison)), rule]


def timing_chart(comparison: Comparison) -> alt.LayerChart:
    """Draw the seconds of each epoch, with the ideal of each variant as a dotted rule.

    The ideal is the median epoch of the baseline times the live share of the cost: the time if
    dropped blocks, and everything outside a block, cost nothing.
    """
    ideal = (
        alt.Chart(ideals(comparison))
        .transform_filter(only_shown())
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.5)
        .encode(
            y="seconds:Q",
            color=colour(comparison),
            tooltip=[
                alt.Tooltip("variant:N", title="ideal of"),
                alt.Tooltip("seconds:Q", title="seconds per epoch", format=".3~g"),
            ],
        )
    )
    return curve_chart(comparison, TIME, "training time per epoch, s", ideal, zero=True)


def ideals(comparison: Comparison) -> pl.DataFrame:
    """Return the ideal seconds per epoch of every variant but the baseline."""
    base = comparison.spread(comparison.baseline, EPOCH_SECONDS)
    rows = []
    for variant in comparison.variants[1:]:
        live = comparison.spread(variant, LIVE_COST)
        if base and live:
            rows.append((variant, base.mean * live.mean))
    schema = {"variant": pl.String, "seconds": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
