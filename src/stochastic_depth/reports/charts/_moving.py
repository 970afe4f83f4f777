"""Depth over training, where the probabilities move."""

import altair as alt

from ...experiments import Comparison
from ._curves import over_seeds
from ._series import colour, dash, layered, only_shown


def moving_depth(comparison: Comparison) -> alt.LayerChart:
    """Draw the expected depth of every epoch, and the depth that its steps had.

    Args:
        comparison: The runs.

    Returns:
        The chart: lines expected, points realised; means over the seeds.
    """
    blocks = max(run.num_blocks for run in comparison.runs)
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1, tickCount=8))
    y = alt.Y(
        "mean:Q", title="live blocks in a step", scale=alt.Scale(domain=[0, blocks], nice=False)
    )
    expected, realised = (
        alt.Chart(over_seeds(comparison, column))
        .transform_filter(only_shown())
        .encode(x=x, y=y, color=colour(comparison))
        for column in ("expected_depth", "realised_depth")
    )
    line = expected.mark_line().encode(strokeDash=dash(comparison))
    return layered(comparison, line, realised.mark_point(filled=True, size=25, opacity=0.7))
