"""Survival probabilities block by block, wanted and realised."""

import altair as alt
import polars as pl

from ...experiments import Comparison, RunRecord
from ._series import colour, dash, layered, only_shown


def survival(comparison: Comparison) -> alt.LayerChart:
    """Draw the survival probability of every block, and the share of steps in which it ran.

    Returns:
        The chart: lines wanted, open points realised, squares blocks that never drop.
    """
    base = alt.Chart(_rows(comparison)).transform_filter(only_shown())
    num_blocks = max(run.num_blocks for run in comparison.runs)
    x = alt.X(
        "block:Q",
        title="block",
        axis=alt.Axis(format="d", tickMinStep=1),
        scale=alt.Scale(domain=[0.5, num_blocks + 0.5], nice=False, zero=False),
    )
    y = alt.Y("survival:Q", title="survival probability", scale=alt.Scale(domain=[0, 1]))
    wanted = base.mark_line().encode(
        x=x, y=y, color=colour(comparison), strokeDash=dash(comparison)
    )
    shape = alt.Shape(
        "droppable:N",
        scale=alt.Scale(domain=[True, False], range=["circle", "square"]),
        legend=None,
    )
    realised = base.mark_point(size=40, opacity=1).encode(
        x=x,
        y="realised:Q",
        color=colour(comparison),
        shape=shape,
        tooltip=[
            alt.Tooltip("variant:N"),
            alt.Tooltip("block:Q"),
            alt.Tooltip("path:N"),
            alt.Tooltip("survival:Q", title="survival wanted", format=".3f"),
            alt.Tooltip("realised:Q", title="share of steps it ran", format=".3f"),
            alt.Tooltip("cost:Q", title="share of the cost", format=".3f"),
        ],
    )
    return layered(comparison, wanted, realised)


def _rows(comparison: Comparison) -> pl.DataFrame:
    firsts: dict[str, RunRecord] = {}
    for run in comparison.runs:
        firsts.setdefault(run.variant, run)
    rows = []
    for variant, run in firsts.items():
        share = None if run.gates is None else run.gates.astype(float).mean(axis=0)
        for block in run.blocks:
            rows.append(
                {
                    "variant": variant,
                    "block": block.index + 1,
                    "path": block.path,
                    "survival": block.survival,
                    "realised": None if share is None else round(float(share[block.index]), 4),
                    "droppable": block.droppable,
                    "cost": block.cost,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)
