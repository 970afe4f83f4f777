"""Two forward passes side by side: the same weights, different blocks."""

import altair as alt
import numpy as np
import polars as pl

from ...experiments import Comparison, RunRecord
from ._series import colour, layered, only_shown

HALF = 0.42  # of the width of a block
SIGNS = 60  # more blocks than this leave no room for a cross in each
WIDEST = 7  # pixels of a character
ABOVE = -40  # pixels from the middle of a box to above it


def passes(comparison: Comparison, run: RunRecord, steps: list[int]) -> alt.LayerChart:
    """Draw which blocks ran in some steps: boxes on the line that is the shortcut.

    Args:
        comparison: The runs, for the colour of the variant.
        run: Whose gates they are, one draw per batch.
        steps: The steps, one row each.

    Returns:
        The chart: the input at the left; a filled box ran, an empty one was skipped, one
        under a dot always runs.
    """
    table = _boxes(run, steps)
    base = alt.Chart(table).transform_filter(only_shown())
    y = alt.Y(
        "pass:N",
        title="training step: blocks that ran",
        sort=None,
        scale=alt.Scale(paddingInner=0.4, paddingOuter=0.25),
        # Browsers differ in their fonts: room for the widest of them.
        axis=alt.Axis(grid=False, labelLimit=0, minExtent=WIDEST * max(map(len, table["pass"]))),
    )
    x = alt.X(
        "first:Q",
        title="block, from the input to the output",
        axis=alt.Axis(format="d", values=_ticks(run.num_blocks), labelOverlap=False),
        scale=alt.Scale(domain=[0.3, run.num_blocks + 0.7], nice=False, zero=False),
    )
    shortcut = (
        base.transform_filter("datum.block == 1")
        .mark_rule(strokeWidth=2)
        .encode(x=alt.datum(0.3), x2=alt.datum(run.num_blocks + 0.7), y=y)
    )
    boxes = base.mark_rect(cornerRadius=3).encode(
        x=x,
        x2="last:Q",
        y=y,
        color=colour(comparison, key=None),
        fillOpacity=_choice("ran", yes=1.0, no=0.03),
        stroke=colour(comparison, key=None),
        strokeWidth=alt.value(1.2),
        tooltip=[alt.Tooltip("block:Q"), alt.Tooltip("path:N"), alt.Tooltip("what:N")],
    )
    crosses = base.transform_filter("!datum.ran").mark_text(text="×", fontSize=22)
    dots = base.transform_filter("datum.always").mark_text(text="•", fontSize=16, dy=ABOVE)
    signs = [crosses, dots] if run.num_blocks <= SIGNS else [dots]
    return layered(
        comparison, shortcut, boxes, *(sign.encode(x=alt.X("block:Q"), y=y) for sign in signs)
    )


def _choice(column: str, *, yes: object, no: object) -> dict[str, object]:
    return {"condition": {"test": f"datum.{column}", "value": yes}, "value": no}


def _ticks(num_blocks: int) -> list[int]:
    every = -(-num_blocks // 24)
    return list(range(1, num_blocks + 1, every))


def _boxes(run: RunRecord, steps: list[int]) -> pl.DataFrame:
    gates = np.asarray(run.gates)
    rows = []
    for step in steps:
        title = f"step {step}: {int(gates[step].sum())} of {run.num_blocks}"
        for block in run.blocks:
            ran, always = bool(gates[step, block.index]), not block.droppable
            what = "always runs" if always else "ran" if ran else "skipped"
            rows.append(
                {
                    "variant": run.variant,
                    "pass": title,
                    "step": step,
                    "block": block.index + 1,
                    "first": block.index + 1 - HALF,
                    "last": block.index + 1 + HALF,
                    "path": block.path,
                    "ran": ran,
                    "always": always,
                    "what": what,
                }
            )
    return pl.DataFrame(rows)
