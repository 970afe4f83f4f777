"""Following: how a foreign model is read. The README of `surgery` tells it in two pages."""

from ._anatomy import Anatomy, Block, Granularity, Scale, Transitions
from ._example import Inputs, plain
from ._pattern import Arguments, Known
from ._samples import require_samples_first
from ._sites import is_mask, masks
from ._survey import survey
from ._trial import brief
from ._units import Branch, Unit
from ._untouched import borrowed_buffers, in_mode, isolated_rng, same_attributes, unheard, untouched
from ._verify import learn, parameters_on, spares

__all__ = [
    "Anatomy",
    "Arguments",
    "Block",
    "Branch",
    "Granularity",
    "Inputs",
    "Known",
    "Scale",
    "Transitions",
    "Unit",
    "borrowed_buffers",
    "brief",
    "in_mode",
    "is_mask",
    "isolated_rng",
    "learn",
    "same_attributes",
    "masks",
    "parameters_on",
    "plain",
    "require_samples_first",
    "spares",
    "survey",
    "unheard",
    "untouched",
]
