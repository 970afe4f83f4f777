"""Which blocks ran in which step: two passes side by side, and the raster of all gates."""

from collections.abc import Iterator
from itertools import pairwise

import altair as alt
import numpy as np
import polars as pl

from ..experiments import Comparison, RunRecord
from ._figure import Figure
from ._theme import colour, layered, only_shown, shown
from ._words import counted, listing


def passes_figures(comparison: Comparison, run: RunRecord) -> Iterator[Figure]:
    """Yield the picture of two steps; nothing if the samples of a step run different blocks."""
    gates = np.asarray(run.gates)
    steps = two_steps(gates, run.seed)
    if not steps or not np.isin(gates, (0, 1)).all():
        return
    skips = [f"step {step} skips {_numbers(np.flatnonzero(gates[step] == 0))}" for step in steps]
    caption = (
        "The same weights in two training steps, drawn at random among those that skip a block. "
        "Filled boxes ran; an empty one was skipped, and what comes in goes on along the line, "
        f"the shortcut. Boxes under a dot always run. {run.variant}, seed {run.seed}."
    )
    depths = [f"{int(gates[step].sum())}" for step in steps]
    description = (
        f"Two rows of {run.num_blocks} blocks: {listing(skips)}. Their depths are "
        f"{listing(depths)}."
    )
    chart = passes_chart(comparison, run, steps)
    yield Figure(f"passes-{run.variant}", "Two passes", caption, description, chart)


def _numbers(blocks: np.ndarray) -> str:
    """Return the numbers of some blocks, counted from 1 as the charts do."""
    return f"block{'s' * (len(blocks) > 1)} {listing([str(block + 1) for block in blocks])}"


def two_steps(gates: np.ndarray, seed: int) -> list[int]:
    """Return two random steps that skip different blocks, in order; fewer if there are not two.

    Args:
        gates: Realised gates (steps, L).
        seed: Of the choice.
    """
    chosen: list[int] = []
    for step in np.random.default_rng(seed).permutation(len(gates)):
        skips = (gates[step] == 0).any()
        if skips and not any((gates[step] == gates[other]).all() for other in chosen):
            chosen.append(int(step))
        if len(chosen) == 2:
            break
    return sorted(chosen)


def raster_figure(comparison: Comparison, run: RunRecord) -> Figure:
    gates = np.asarray(run.gates, dtype=float)
    drawn, depths = len(drawn_steps(*gates.shape)), gates.sum(axis=1)
    distinct = counted(len(np.unique(gates, axis=0)), "different draw")
    caption = (
        f"Each column is one training step, each row one of the {run.num_blocks} blocks, the "
        f"input at the top; a filled cell ran. {distinct} in {len(gates):,} steps; shown are "
        f"{drawn}, evenly spaced. {run.variant}, seed {run.seed}."
    )
    description = (
        f"Raster of gates. Between {depths.min():.3g} and {depths.max():.3g} of "
        f"{run.num_blocks} blocks ran in a step, {depths.mean():.4g} on average."
    )
    chart = raster_chart(comparison, run.variant, gates)
    return Figure(f"gates-{run.variant}", "Sometimes shallow", caption, description, chart)


HALF = 0.42  # of the width of a block
SIGNS = 60  # more blocks than this leave no room for a cross in each
WIDEST = 7  # pixels of a character
ABOVE = -40  # pixels from the middle of a box to above it


def passes_chart(comparison: Comparison, run: RunRecord, steps: list[int]) -> alt.LayerChart:
    """Draw which blocks ran in some steps: boxes on a line, the shortcut.

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
        # Browsers differ in their fonts: leave room for the widest.
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


# Enough columns for a dense picture, few enough to see each on a phone; fewer for very deep
# networks, which would make the page heavy.
COLUMNS, FEWEST_COLUMNS, CELLS = 120, 30, 8000


def raster_chart(comparison: Comparison, variant: str, gates: np.ndarray) -> alt.Chart:
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
    """Return the steps to draw: all of a short run, else evenly spaced ones."""
    columns = max(FEWEST_COLUMNS, min(COLUMNS, CELLS // num_blocks))
    return np.unique(np.linspace(0, num_steps - 1, min(columns, num_steps)).round().astype(int))


def _live_stretches(gates: np.ndarray, steps: np.ndarray, width: float) -> pl.DataFrame:
    """Return one row per stretch of adjacent blocks with the same share in a step."""
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
