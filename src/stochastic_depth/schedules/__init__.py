"""Schedules: depth -> survival probabilities, `L -> (L,)`.

A schedule is any callable that takes the number of blocks and returns one
survival probability per block. Those made here are immutable, compare by value,
and print the arguments they were made of.

Three "linear" rules are in use in the field and differ silently elsewhere; here
the rule is an argument of `linear`.
"""

from ._depth import Cosine as cosine
from ._depth import Exponential as exponential
from ._depth import Linear as linear
from ._depth import Power as power
from ._depth import Uniform as uniform
from ._schedule import Schedule
from ._tables import Fixed as fixed
from ._tables import Stagewise as stagewise

__all__ = ["Schedule", "cosine", "exponential", "fixed", "linear", "power", "stagewise", "uniform"]
