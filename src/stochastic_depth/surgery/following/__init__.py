"""Following: how a foreign model is read. The README of `surgery` tells it in two pages."""

from ._anatomy import Anatomy, Block, Granularity, Scale, Transitions
from ._pattern import Arguments, Known
from ._samples import require_samples_first
from ._sites import is_mask, masks
from ._survey import survey
from ._units import Branch, Unit
from ._untouched import borrowed_buffers, same_attributes, unheard
from ._verify import learn, parameters_on, spares

__all__ = [
    "Anatomy",
    "Arguments",
    "Block",
    "Branch",
    "Granularity",
    "Known",
    "Scale",
    "Transitions",
    "Unit",
    "borrowed_buffers",
    "is_mask",
    "learn",
    "same_attributes",
    "masks",
    "parameters_on",
    "require_samples_first",
    "spares",
    "survey",
    "unheard",
]
