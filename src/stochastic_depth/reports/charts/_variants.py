"""Variants beside each other: their error at what they cost, and every pair of them."""

import altair as alt
import polars as pl

from ...experiments import LIVE_SHARE, Comparison
from .._summary import is_clear
from ._series import colour, layered, only_shown

WRITTEN = 7  # variants; from more, the fields of the matrix are too small to write in


def error_by_budget(comparison: Comparison, table: pl.DataFrame) -> alt.LayerChart:
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


def pairs(comparison: Comparison, table: pl.DataFrame) -> alt.LayerChart:
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
    order = list(comparison.variants)
    axis = alt.Axis(grid=False, labelAngle=0, labelLimit=160)
    x = alt.X("against:N", title="against", sort=order, axis=axis)
    y = alt.Y("variant:N", title="test error of", sort=order, axis=axis)
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
            alt.Tooltip("text:N", title="difference, points"),
            alt.Tooltip("seeds:N", title="lower in"),
            alt.Tooltip("p:N", title="p (Wilcoxon)"),
        ],
    )
    layers = [fields]
    if len(order) <= WRITTEN:
        layers.append(base.mark_text(fontSize=12).encode(x=x, y=y, text="text:N"))
    return layered(comparison, *layers)


def pairwise(comparison: Comparison) -> pl.DataFrame:
    """Return variant − against in test error for every ordered pair with a common seed."""
    rows = []
    for variant in comparison.variants:
        for against in comparison.variants:
            found = comparison.difference(against, comparison.test_error, variant)
            if variant == against or found is None:
                continue
            mean, std = found.spread.mean, found.spread.std
            text = f"{mean:+.2f}" if found.n == 1 else f"{mean:+.2f} ± {std:.2f}"
            direction = "equal" if mean == 0 else "lower" if mean < 0 else "higher"
            seeds = f"{found.losses} of {found.n} seeds"
            p = "from 6 seeds on" if found.p_wilcoxon is None else f"{found.p_wilcoxon:.2g}"
            rows.append((variant, against, text, direction, is_clear(found), seeds, p))
    schema = ["variant", "against", "text", "direction", "clear", "seeds", "p"]
    return pl.DataFrame(rows, schema=schema, orient="row")
