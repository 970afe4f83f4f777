"""Finding: which modules of a model are residual blocks, and which of them may be dropped."""

from ._anatomy import Anatomy, Block, Granularity, Transitions
from ._survey import Unit

__all__ = ["Anatomy", "Block", "Granularity", "Transitions", "Unit"]
