"""One chart per file, all in the house style; each takes records and gives an Altair chart."""

from ._curves import best_epochs, curves, over_seeds, settled
from ._depth import depth_histogram
from ._passes import passes
from ._raster import drawn_steps, raster
from ._seeds import by_seed
from ._survival import survival
from ._timing import ideals, timing

__all__ = [
    "best_epochs",
    "by_seed",
    "curves",
    "depth_histogram",
    "drawn_steps",
    "ideals",
    "over_seeds",
    "passes",
    "raster",
    "settled",
    "survival",
    "timing",
]
