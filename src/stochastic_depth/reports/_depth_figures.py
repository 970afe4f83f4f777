"""The figures of random depth itself: which blocks ran, and how many."""

from collections.abc import Iterator

import numpy as np

from ..experiments import Comparison, RunRecord
from . import charts
from ._depth_law import exact_depth_law, probabilities_move
from ._figure import Figure
from ._words import counted, listing


def depth_figures(comparison: Comparison) -> list[Figure]:
    """Return passes, rasters, depths, schedule, curriculum; nothing where all blocks always ran."""
    random = _random_runs(comparison)
    if not random:
        return []
    rasters = [_raster(comparison, runs[0]) for runs in random.values()]
    pictures = [figure for runs in random.values() for figure in _two_passes(comparison, runs[0])]
    figures = [*pictures, *rasters, _histogram(comparison, random), _survival(comparison)]
    return [*figures, *_curriculum(comparison)]


def _random_runs(comparison: Comparison) -> dict[str, list[RunRecord]]:
    """Return the runs with gates, of the variants in which some block may be dropped."""
    runs: dict[str, list[RunRecord]] = {}
    for run in comparison.runs:
        if run.gates is not None and len(run.gates) and (run.gates < 1).any():
            runs.setdefault(run.variant, []).append(run)
    return runs


def _two_passes(comparison: Comparison, run: RunRecord) -> Iterator[Figure]:
    """Yield the picture of two steps; none where samples of a step differ in their blocks."""
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
    chart = charts.passes(comparison, run, steps)
    yield Figure(f"passes-{run.variant}", "Two passes", caption, description, chart)


def _numbers(blocks: np.ndarray) -> str:
    """Return the numbers of some blocks, counted from 1 as the charts do."""
    return f"block{'s' * (len(blocks) > 1)} {listing([str(block + 1) for block in blocks])}"


def two_steps(gates: np.ndarray, seed: int) -> list[int]:
    """Return two random steps that skip different blocks, in order; fewer if there are none.

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


def _raster(comparison: Comparison, run: RunRecord) -> Figure:
    gates = np.asarray(run.gates, dtype=float)
    drawn, depths = len(charts.drawn_steps(*gates.shape)), gates.sum(axis=1)
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
    chart = charts.raster(comparison, run.variant, gates)
    return Figure(f"gates-{run.variant}", "Sometimes shallow", caption, description, chart)


def _histogram(comparison: Comparison, random: dict[str, list[RunRecord]]) -> Figure:
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
    chart = charts.depth_histogram(comparison, realised, known)
    return Figure("depth", "Depth of the network", caption, description, chart)


def _survival(comparison: Comparison) -> Figure:
    caption = (
        "Probability that a block runs in a step, from the input (left) to the output. Lines: "
        "wanted; points: share of steps in which it ran, first seed. Squares never drop."
    )
    ends = []
    for variant in comparison.variants:
        run = next(run for run in comparison.runs if run.variant == variant)
        if run.blocks:
            ends.append(f"{variant} from {run.survival[0]:.3g} to {run.survival[-1]:.3g}")
    description = f"Survival probability by block: {listing(ends)}."
    return Figure("survival", "Survival", caption, description, charts.survival(comparison))


def _curriculum(comparison: Comparison) -> Iterator[Figure]:
    """Yield the depth over training, where some probabilities move."""
    moving = [run for run in comparison.runs if probabilities_move(run) and run.epochs_done]
    if not moving:
        return
    caption = (
        "How many blocks run in a step, epoch by epoch, mean over the seeds. Lines: as the "
        "probabilities of the steps say; points: as they ran."
    )
    ends = {run.variant: run.metrics["expected_depth"].to_list() for run in moving}
    moves = [f"{variant} from {d[0]:.3g} to {d[-1]:.3g}" for variant, d in ends.items()]
    description = f"Expected depth of the first and of the last epoch: {listing(moves)}."
    chart = charts.moving_depth(comparison)
    yield Figure("curriculum", "Depth over training", caption, description, chart)
