"""The gates as a raster: which blocks ran in which step."""

from itertools import pairwise

import altair as alt
import numpy as np
import polars as pl

from ...experiments import Comparison
from ._series import colour, only_shown, shown

# So many columns that the picture is dense, so few that each is seen on a telephone; fewer for
# a network so deep that the page would grow heavy.
COLUMNS, FEWEST_COLUMNS, CELLS = 120, 30, 8000


def raster(comparison: Comparison, variant: str, gates: np.ndarray) -> alt.Chart:
    """Draw which blocks were live, step by step.

    Args:
        comparison: The runs, for the colour of `variant`.
        variant: Whose gates they are.
        gates: Realised gates (steps, L), or for one draw per sample the live share of each.

    Returns:
        The chart: steps from left to right, blocks from the input (top) to the output; a
        paler shade is a smaller share of the samples.
    """
    num_steps, num_blocks = gates.shape
    steps = drawn_steps(num_steps, num_blocks)
    width = num_steps / len(steps)
    y_axis = alt.Axis(title="block", grid=False, format="d", tickMinStep=1)
    x_axis = alt.Axis(title="training step", format="d")
    return (
        alt.Chart(_live_stretches(gates, steps, width).with_columns(variant=pl.lit(variant)))
        .transform_filter(only_shown())
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X("start:Q", axis=x_axis, scale=alt.Scale(domain=[0, num_steps], nice=False)),
            x2="stop:Q",
            y=alt.Y(
                "first:Q",
                axis=y_axis,
                scale=alt.Scale(domain=[num_blocks + 0.5, 0.5], nice=False, zero=False),
            ),
            y2="last:Q",
            color=colour(comparison, key=None),
            opacity=alt.Opacity(
                "share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None
            ),
            tooltip=[
                alt.Tooltip("step:Q", title="step"),
                alt.Tooltip("depth:Q", title=f"live blocks of {num_blocks}", format=".3~g"),
            ],
        )
        .add_params(shown(comparison))
    )


def drawn_steps(num_steps: int, num_blocks: int) -> np.ndarray:
    """Return the steps that are drawn: all of a short run, else some at even distances."""
    columns = max(FEWEST_COLUMNS, min(COLUMNS, CELLS // num_blocks))
    return np.unique(np.linspace(0, num_steps - 1, min(columns, num_steps)).round().astype(int))


def _live_stretches(gates: np.ndarray, steps: np.ndarray, width: float) -> pl.DataFrame:
    """Return one row per stretch of neighbouring blocks that are equally live in a step."""
    rows = []
    for column, step in enumerate(steps):
        shares = gates[step].astype(float)
        edges = np.flatnonzero(np.diff(shares, prepend=np.nan, append=np.nan) != 0)
        for first, last in pairwise(edges):
            if shares[first] > 0:
                rows.append(
                    {
                        "step": int(step),
                        "start": round(column * width, 2),
                        "stop": round((column + 0.86) * width, 2),
                        "first": float(first) + 0.55,
                        "last": float(last) + 0.45,
                        "share": round(float(shares[first]), 3),
                        "depth": round(float(shares.sum()), 2),
                    }
                )
    schema = {"step": pl.Int64} | dict.fromkeys(
        ("start", "stop", "first", "last", "share", "depth"), pl.Float64
    )
    return pl.DataFrame(rows, schema=schema)
