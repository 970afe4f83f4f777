"""Variants compared: seed by seed, by cost, and pair by pair."""

from collections.abc import Iterator

import altair as alt
import polars as pl

from ..experiments import Comparison
from ._figure import Figure
from ._recorded import LIVE_SHARE
from ._theme import colour, layered, only_shown
from ._words import NOTHING, counted, listing, provenance, signed, span

FEWEST, MOST = 3, 24
WRITTEN = 7  # variants; with more, the fields of the matrix are too small for text


def variant_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield the runs seed by seed and, of three variants or more, their budgets and pairs."""
    if any(comparison.finished(variant) for variant in comparison.variants):
        yield _seeds_figure(comparison)
    table = errors_and_shares(comparison)
    if table.height < FEWEST:
        return
    if table["share"].round(2).n_unique() > 1:
        yield _budget_figure(comparison, table)
    if table.height <= MOST:
        yield _pairs_figure(comparison)


def _seeds_figure(comparison: Comparison) -> Figure:
    """Return the main picture: the test error of every run, seed by seed."""
    measure = comparison.test_error
    spreads = {v: comparison.spread(v, measure) for v in comparison.variants}
    means = [f"{variant} {spread}" for variant, spread in spreads.items() if spread]
    caption = (
        "One point is one run; a line joins the runs of one seed, which share the data, initial "
        f"weights and the order of batches. Dotted: means. {provenance(comparison)}"
    )
    description = f"Points by seed: {measure.title}. Mean ± standard deviation: {listing(means)}."
    return Figure("seeds", "Seed by seed", caption, description, seeds_chart(comparison))


def seeds_chart(comparison: Comparison) -> alt.LayerChart:
    """Draw the test error of every finished run, the runs of one seed on one line.

    Returns:
        The chart: points are runs, the line between them is the difference of a seed, and
        dotted rules are the means.
    """
    measure = comparison.test_error
    rows = [(run.variant, run.seed, measure(run)) for run in comparison.runs]
    schema = {"variant": pl.String, "seed": pl.Int64, "error": pl.Float64}
    data = pl.DataFrame(rows, schema=schema, orient="row").drop_nulls()
    base = alt.Chart(data).transform_filter(only_shown())
    x = alt.X("error:Q", title=measure.title, scale=alt.Scale(zero=False, padding=14))
    y = alt.Y("seed:O", title="seed", axis=alt.Axis(grid=False))
    span = base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(
        x=alt.X("min(error):Q"), x2="max(error):Q", y=y
    )
    key = alt.Legend(symbolType="circle", symbolOpacity=1)
    points = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x,
        y=y,
        color=colour(comparison, key),
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("seed:O"),
            alt.Tooltip("error:Q", title=measure.title, format=f".{measure.decimals}f"),
        ],
    )
    means = base.mark_rule(strokeDash=[2, 3], strokeWidth=1.5).encode(
        x="mean(error):Q", color=colour(comparison, key)
    )
    return layered(comparison, span, means, points)


def _budget_figure(comparison: Comparison, table: pl.DataFrame) -> Figure:
    rows = table.sort("share").iter_rows(named=True)
    words = [f"{row['variant']} {row['error']:.2f} at {row['share']:.2f}" for row in rows]
    caption = (
        "What each variant costs, and its error: lower left is better. Points: means; bars: "
        f"one standard deviation over seeds to either side. {provenance(comparison)}"
    )
    description = f"Points, {comparison.test_error.title} by share of the blocks: {listing(words)}."
    chart = budget_chart(comparison, table)
    return Figure("budget", "Error against budget", caption, description, chart)


def _pairs_figure(comparison: Comparison) -> Figure:
    table = pairwise(comparison)
    clear = table.filter(clear=True, direction="lower")
    words = [f"{row['variant']} below {row['against']}" for row in clear.iter_rows(named=True)]
    caption = (
        "Error of the row minus that of the column, seed by seed, mean ± standard deviation in "
        f"{comparison.test_error.unit}. Blue: the row is lower; orange: higher. Strong colour: a "
        "clear difference, whose 95 % interval by Student's t leaves out 0 (not corrected for the "
        f"number of pairs). {provenance(comparison)}"
    )
    found = f"Clear are {listing(words)}." if words else "None is clear."
    number = counted(len(comparison.variants), "variant")
    quantity = comparison.test_error.quantity
    description = f"Matrix of the differences in {quantity} of {number}. {found}"
    chart = pairs_chart(comparison, table)
    return Figure("pairs", "Every two variants", caption, description, chart)


def budget_chart(comparison: Comparison, table: pl.DataFrame) -> alt.LayerChart:
    """Draw the test error of every variant over the share of the blocks that ran.

    Args:
        comparison: The runs.
        table: Of `errors_and_shares`.

    Returns:
        The chart: points are means over seeds, bars one standard deviation to either side.
    """
    base = alt.Chart(table).transform_filter(only_shown())
    x = alt.X(
        "share:Q",
        title="share of the blocks that ran",
        scale=alt.Scale(zero=False, padding=18),
        axis=alt.Axis(format=".2f", tickCount=6),
    )
    title = comparison.test_error.title
    y = alt.Y("low:Q", title=title, scale=alt.Scale(zero=False, padding=8))
    key = alt.Legend(symbolType="circle", symbolOpacity=1)
    bars = base.mark_rule(strokeWidth=1.6).encode(
        x=x, y=y, y2="high:Q", color=colour(comparison, key)
    )
    points = base.mark_point(filled=True, size=100, opacity=1).encode(
        x=x,
        y=alt.Y("error:Q", title=title),
        color=colour(comparison, key),
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("share:Q", title="share of the blocks", format=".3f"),
            alt.Tooltip("error:Q", title=title, format=".2f"),
            alt.Tooltip("n:Q", title="seeds"),
        ],
    )
    return layered(comparison, bars, points)


def errors_and_shares(comparison: Comparison) -> pl.DataFrame:
    """Return test error, its deviation and the live share of every variant that has finished."""
    rows = []
    for variant in comparison.variants:
        error = comparison.spread(variant, comparison.test_error)
        share = comparison.spread(variant, LIVE_SHARE)
        if error and share:
            low, high = error.mean - error.std, error.mean + error.std
            if error.n == 1:
                low = high = error.mean
            rows.append((variant, share.mean, error.mean, low, high, error.n))
    schema = ["variant", "share", "error", "low", "high", "n"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def pairs_chart(comparison: Comparison, table: pl.DataFrame) -> alt.LayerChart:
    """Draw the difference in test error of every two variants.

    Args:
        comparison: The runs.
        table: Of `pairwise`.

    Returns:
        The chart: a field is blue where the variant of its row had the lower error, orange
        where it had the higher one; strong where the difference is clear.
    """
    shown = only_shown(), only_shown().replace("datum.variant", "datum.against")
    base = alt.Chart(table).transform_filter(shown[0]).transform_filter(shown[1])
    order, measure = list(comparison.variants), comparison.test_error
    axis = alt.Axis(grid=False, labelAngle=0, labelLimit=160)
    x = alt.X("against:N", title="against", sort=order, axis=axis)
    y = alt.Y("variant:N", title=f"{measure.quantity} of", sort=order, axis=axis)
    domain = ["equal", "lower", "higher"]
    fields = base.mark_rect(cornerRadius=3).encode(
        x=x,
        y=y,
        color=alt.Color("direction:N", scale=alt.Scale(domain=domain), legend=None),
        opacity=alt.Opacity(
            "clear:N", scale=alt.Scale(domain=[False, True], range=[0.14, 0.5]), legend=None
        ),
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("against:N"),
            alt.Tooltip("text:N", title=f"difference, {measure.unit}"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("seeds:N", title="lower in"),
            alt.Tooltip("p:N", title="p (Student's t)"),
        ],
    )
    layers = [fields]
    if len(order) <= WRITTEN:
        layers.append(base.mark_text(fontSize=12).encode(x=x, y=y, text="text:N"))
    return layered(comparison, *layers)


def pairwise(comparison: Comparison) -> pl.DataFrame:
    """Return variant − against in test error for all ordered pairs with a common seed."""
    rows, measure = [], comparison.test_error
    for variant in comparison.variants:
        for against in comparison.variants:
            found = comparison.difference(against, measure, variant)
            if variant == against or found is None:
                continue
            mean, text = found.spread.mean, signed(found.spread, measure.decimals)
            direction = "equal" if mean == 0 else "lower" if mean < 0 else "higher"
            seeds = f"{found.losses} of {found.n} seeds"
            interval = span(found, measure.decimals)
            p = NOTHING if found.p is None else f"{found.p:.2g}"
            rows.append((variant, against, text, direction, found.is_clear, seeds, interval, p))
    schema = ["variant", "against", "text", "direction", "clear", "seeds", "interval", "p"]
    return pl.DataFrame(rows, schema=schema, orient="row")
