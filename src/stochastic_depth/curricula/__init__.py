"""Curricula: training progress in [0, 1] -> survival probabilities.

A curriculum is any callable that takes the share of training done and returns the
probabilities to train with now. Progress is `step / total_steps` before step `step`, so
the first step sees 0.
"""

from ._combine import Sequential as sequential
from ._curriculum import Curriculum
from ._points import Piecewise as piecewise
from ._ramps import Constant as constant
from ._ramps import Early as early
from ._ramps import Late as late
from ._ramps import Progressive as progressive
from ._ramps import Warmup as warmup

__all__ = [
    "Curriculum",
    "constant",
    "early",
    "late",
    "piecewise",
    "progressive",
    "sequential",
    "warmup",
]
