"""How many blocks ran per step, beside the exact law of that number."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl

from ...experiments import Comparison
from ._series import colour, layered, only_shown


def depth_histogram(
    comparison: Comparison, realised: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]
) -> alt.LayerChart:
    """Draw the share of steps at each depth, and the probability of each depth.

    Args:
        comparison: The runs.
        realised: Depth of every step (steps,), by variant.
        exact: Probability of each depth 0..L (L + 1,), by variant, where it is known.

    Returns:
        The chart: bars measured, points exact.
    """
    bars, points = _shares(realised), _probabilities(exact)
    first = min([*bars["depth"], *points["depth"]]) - 0.5
    last = max(run.num_blocks for run in comparison.runs) + 0.5
    x = alt.X(
        "depth:Q",
        title="live blocks in a step",
        axis=alt.Axis(format="d", tickMinStep=1),
        scale=alt.Scale(domain=[first, last], nice=False, zero=False),
    )
    # Of all variants, also of those that are hidden: the axis stands still.
    top = max([*bars["share"], *points["share"]])
    y = alt.Y("share:Q", title="share of steps, %", scale=alt.Scale(domain=[0, top]))
    key = alt.Legend(symbolType="square", symbolOpacity=1, values=list(realised))
    measured = (
        alt.Chart(bars)
        .transform_filter(only_shown())
        .mark_rect(opacity=0.55)
        .encode(
            x=x,
            x2="upper:Q",
            y=y,
            y2=alt.datum(0),
            color=colour(comparison, key),
            tooltip=_tooltip("share of steps, %"),
        )
    )
    law = (
        alt.Chart(points)
        .transform_filter(only_shown())
        .mark_point(filled=True, size=45, opacity=1)
        .encode(x=x, y=y, color=colour(comparison, key), tooltip=_tooltip("exact law, %"))
    )
    return layered(comparison, measured, law)


def _shares(realised: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return bars of width 0.8 around the whole numbers."""
    rows = []
    for variant, depths in realised.items():
        values, counts = np.unique(depths.round().astype(int), return_counts=True)
        for value, count in zip(values, counts, strict=True):
            share = round(100 * count / len(depths), 3)
            rows.append((variant, value - 0.4, value + 0.4, share))
    return pl.DataFrame(rows, schema=["variant", "depth", "upper", "share"], orient="row")


def _probabilities(exact: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Return the depths that are not all but impossible."""
    rows = [
        (variant, float(depth), round(100 * float(probability), 4))
        for variant, law in exact.items()
        for depth, probability in enumerate(law)
        if probability > 1e-5
    ]
    schema = {"variant": pl.String, "depth": pl.Float64, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _tooltip(title: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("variant:N"), alt.Tooltip("share:Q", title=title, format=".3~g")]
