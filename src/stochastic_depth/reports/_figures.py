"""The figures of a comparison, in the order in which they are read."""

import polars as pl

from ..experiments import Comparison
from . import charts
from ._curve_figures import curve_figures, gradient_figure, timing_figure
from ._depth_figures import depth_figures
from ._figure import Figure
from ._variant_figures import variant_figures
from ._words import listing, provenance


def figures(comparison: Comparison) -> list[Figure]:
    """Return the figures of everything that was recorded.

    Args:
        comparison: Runs with at least one finished epoch among them.

    Returns:
        The figures; one that would be empty is left out.
    """
    if all(run.metrics.is_empty() for run in comparison.runs):
        return []
    gradient = charts.over_seeds(comparison, "gradient_first_convolution").filter(pl.col("low") > 0)
    return [
        *([seeds_figure(comparison)] if _any_finished(comparison) else []),
        *variant_figures(comparison),
        *curve_figures(comparison),
        *depth_figures(comparison),
        timing_figure(comparison),
        *([] if gradient.is_empty() else [gradient_figure(comparison)]),
    ]


def seeds_figure(comparison: Comparison) -> Figure:
    """Return the deciding picture: the test error of every run, seed by seed."""
    measure = comparison.test_error
    spreads = {v: comparison.spread(v, measure) for v in comparison.variants}
    means = [f"{variant} {spread}" for variant, spread in spreads.items() if spread]
    caption = (
        "One point is one run; a line joins the runs of one seed, which share images, initial "
        f"weights and the order of batches. Dotted: means. {provenance(comparison)}"
    )
    description = f"Points by seed: {measure.title}. Mean ± standard deviation: {listing(means)}."
    return Figure("seeds", "Seed by seed", caption, description, charts.by_seed(comparison))


def _any_finished(comparison: Comparison) -> bool:
    return any(comparison.finished(variant) for variant in comparison.variants)
