"""One chart per file, all in the house style; each takes records and gives an Altair chart."""

from ._curves import best_epochs, curves, over_seeds, settled
from ._depth import depth_histogram
from ._diagnosis import (
    block_costs,
    discrepancies,
    effective_depth,
    gradient_growth,
    noise_sizes,
    p_values,
    regularizers,
)
from ._moving import moving_depth
from ._passes import passes
from ._raster import drawn_steps, raster
from ._seeds import by_seed
from ._survival import survival
from ._timing import ideals, timing
from ._variants import error_by_budget, errors_and_shares, pairs, pairwise

__all__ = [
    "best_epochs",
    "block_costs",
    "by_seed",
    "curves",
    "depth_histogram",
    "discrepancies",
    "drawn_steps",
    "effective_depth",
    "error_by_budget",
    "errors_and_shares",
    "gradient_growth",
    "ideals",
    "moving_depth",
    "over_seeds",
    "noise_sizes",
    "p_values",
    "pairs",
    "pairwise",
    "passes",
    "raster",
    "regularizers",
    "settled",
    "survival",
    "timing",
]
