"""How many blocks ran in a step, and how often each of them did."""

import math
from collections.abc import Iterator, Mapping

import altair as alt
import numpy as np
import polars as pl
import torch

from ..budgets import depth_distribution
from ..experiments import Comparison, RunRecord
from ._curves import over_seeds
from ._figure import Figure
from ._passes import passes_figures, raster_figure
from ._recorded import EXPECTED_DEPTH, REALISED_DEPTH, first_runs
from ._theme import colour, dash, layered, only_shown
from ._words import counted, listing


def depth_figures(comparison: Comparison) -> list[Figure]:
    """Return passes, rasters, depths, schedule, curriculum; nothing if all blocks always ran."""
    random = _random_runs(comparison)
    if not random:
        return []
    rasters = [raster_figure(comparison, runs[0]) for runs in random.values()]
    pictures = [
        figure for runs in random.values() for figure in passes_figures(comparison, runs[0])
    ]
    figures = [*pictures, *rasters, _depth_figure(comparison, random), _survival_figure(comparison)]
    return [*figures, *_curriculum_figures(comparison)]


def _random_runs(comparison: Comparison) -> dict[str, list[RunRecord]]:
    """Return the runs with gates, of the variants in which some block may be dropped."""
    runs: dict[str, list[RunRecord]] = {}
    for run in comparison.runs:
        if run.gates is not None and len(run.gates) and (run.gates < 1).any():
            runs.setdefault(run.variant, []).append(run)
    return runs


def _depth_figure(comparison: Comparison, random: dict[str, list[RunRecord]]) -> Figure:
    realised = {
        variant: np.concatenate([np.asarray(run.gates, float).sum(axis=1) for run in runs])
        for variant, runs in random.items()
    }
    exact = {variant: exact_depth_law(runs[0]) for variant, runs in random.items()}
    known = {variant: law for variant, law in exact.items() if law is not None}
    points = "points: the exact law, which they should follow" if known else "no step has a law"
    steps = counted(sum(len(depths) for depths in realised.values()), "step")
    caption = (
        f"How many blocks ran in a training step. Bars: measured; {points}. "
        f"{steps} of {listing(list(realised))}, all seeds."
    )
    means = [f"{variant} {depths.mean():.4g}" for variant, depths in realised.items()]
    description = f"Histogram of live blocks per step. Mean depth: {listing(means)}."
    chart = depth_chart(comparison, realised, known)
    return Figure("depth", "Depth of the network", caption, description, chart)


def _survival_figure(comparison: Comparison) -> Figure:
    caption = (
        "Probability that a block runs in a step, from the input (left) to the output. Lines: "
        "schedule; points: share of steps in which it ran, first seed. Squares never drop."
    )
    ends = []
    for variant, run in first_runs(comparison).items():
        if run.blocks:
            ends.append(f"{variant} from {run.survival[0]:.3g} to {run.survival[-1]:.3g}")
    description = f"Survival probability by block: {listing(ends)}."
    return Figure("survival", "Survival", caption, description, survival_chart(comparison))


def _curriculum_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield the depth over training, if some probabilities move."""
    moving = [run for run in comparison.runs if probabilities_move(run) and run.epochs_done]
    if not moving:
        return
    caption = (
        "How many blocks run in a step, epoch by epoch, mean over the seeds. Lines: expected "
        "from the probabilities of the steps; points: as they ran."
    )
    ends = {run.variant: run.metrics[EXPECTED_DEPTH].to_list() for run in moving}
    moves = [f"{variant} from {d[0]:.3g} to {d[-1]:.3g}" for variant, d in ends.items()]
    description = f"Expected depth of the first and of the last epoch: {listing(moves)}."
    chart = moving_depth_chart(comparison)
    yield Figure("curriculum", "Depth over training", caption, description, chart)


def moving_depth_chart(comparison: Comparison) -> alt.LayerChart:
    """Draw the expected depth of every epoch, and that of its steps.

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
        for column in (EXPECTED_DEPTH, REALISED_DEPTH)
    )
    line = expected.mark_line().encode(strokeDash=dash(comparison))
    return layered(comparison, line, realised.mark_point(filled=True, size=25, opacity=0.7))


def depth_chart(
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
    # Of all variants, even hidden ones, so that the axis does not move.
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
    """Return the depths of non-negligible probability."""
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


def exact_depth_law(run: RunRecord) -> np.ndarray | None:
    """Return P(depth = k) for k = 0..L under the law of the gates of `run`.

    Independent gates give the Poisson-binomial law; a fixed depth gives floor(sum p) or
    ceil(sum p) blocks. With one draw per sample, or probabilities that move during training,
    there is no such law.

    Args:
        run: A record with blocks.

    Returns:
        Probabilities (L + 1,), or `None` if there is no law.
    """
    depth = run.config.get("depth", {})
    if depth.get("per", "batch") != "batch" or probabilities_move(run):
        return None
    if depth.get("law", "bernoulli") == "bernoulli":
        return depth_distribution(torch.from_numpy(run.survival)).numpy()
    return _two_depths(float(run.survival.sum()), run.num_blocks)


def probabilities_move(run: RunRecord) -> bool:
    """Return whether survival probabilities change during training."""
    depth = run.config.get("depth", {})
    return depth.get("curriculum", "constant") != "constant" or depth.get("interval") is not None


def _two_depths(expected: float, num_blocks: int) -> np.ndarray:
    law = np.zeros(num_blocks + 1)
    low = math.floor(expected)
    law[low] = 1 - (expected - low)
    if expected > low:
        law[low + 1] = expected - low
    return law


def survival_chart(comparison: Comparison) -> alt.LayerChart:
    """Draw the survival probability of every block, and the share of steps in which it ran.

    Returns:
        The chart: lines for the schedule, open points realised, squares for blocks that never drop.
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
    rows = []
    for variant, run in first_runs(comparison).items():
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
