"""The deciding measure seed by seed: how far apart the variants are, and how reliably."""

import altair as alt
import polars as pl

from ...experiments import Comparison
from ._series import colour, layered, only_shown


def by_seed(comparison: Comparison) -> alt.LayerChart:
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
            alt.Tooltip("error:Q", title=measure.title, format=".2f"),
        ],
    )
    means = base.mark_rule(strokeDash=[2, 3], strokeWidth=1.5).encode(
        x="mean(error):Q", color=colour(comparison, key)
    )
    return layered(comparison, span, means, points)
