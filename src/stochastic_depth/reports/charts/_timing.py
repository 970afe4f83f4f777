"""Seconds per epoch, beside what the live share of the cost allows."""

import altair as alt
import polars as pl

from ...experiments import EPOCH_SECONDS, LIVE_COST, Comparison
from ._curves import curves
from ._series import colour, only_shown


def timing(comparison: Comparison) -> alt.LayerChart:
    """Draw the seconds of each epoch, with the ideal of each variant as a dotted rule.

    The ideal is the median epoch of the baseline times the live share of the cost: the time that
    would be left if a dropped block cost nothing at all and nothing else had a cost.
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
    return curves(comparison, "seconds", "training time per epoch, s", ideal, zero=True)


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
