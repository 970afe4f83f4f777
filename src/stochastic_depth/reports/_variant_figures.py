"""The figures of three variants and more, which a line per seed cannot show."""

from collections.abc import Iterator

import polars as pl

from ..experiments import Comparison
from . import charts
from ._figure import Figure
from ._words import counted, listing, provenance

FEWEST, MOST = 3, 24


def variant_figures(comparison: Comparison) -> Iterator[Figure]:
    """Yield error against budget and the matrix of pairs; nothing for two variants."""
    table = charts.errors_and_shares(comparison)
    if table.height < FEWEST:
        return
    if table["share"].round(2).n_unique() > 1:
        yield _by_budget(comparison, table)
    if table.height <= MOST:
        yield _pairs(comparison)


def _by_budget(comparison: Comparison, table: pl.DataFrame) -> Figure:
    rows = table.sort("share").iter_rows(named=True)
    words = [f"{row['variant']} {row['error']:.2f} at {row['share']:.2f}" for row in rows]
    caption = (
        "What each variant costs, and what it errs: lower left is better. Points: means; bars: "
        f"one standard deviation over seeds to either side. {provenance(comparison)}"
    )
    description = f"Points, {comparison.test_error.title} by share of the blocks: {listing(words)}."
    chart = charts.error_by_budget(comparison, table)
    return Figure("budget", "Error against budget", caption, description, chart)


def _pairs(comparison: Comparison) -> Figure:
    table = charts.pairwise(comparison)
    clear = table.filter(clear=True, direction="lower")
    words = [f"{row['variant']} below {row['against']}" for row in clear.iter_rows(named=True)]
    caption = (
        "Error of the row minus that of the column, seed by seed, mean ± standard deviation in "
        "points. Blue: the row is lower; orange: higher. Strong colour: a clear difference, by p "
        "below 0.05 (Wilcoxon, from 6 seeds on; not corrected for the number of pairs) or, with "
        f"fewer seeds, by all of them. {provenance(comparison)}"
    )
    found = f"Clear are {listing(words)}." if words else "None is clear."
    number = counted(len(comparison.variants), "variant")
    description = f"Matrix of the differences in test error of {number}. {found}"
    chart = charts.pairs(comparison, table)
    return Figure("pairs", "Every two variants", caption, description, chart)
