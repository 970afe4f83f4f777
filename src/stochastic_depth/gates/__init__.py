"""Gates: laws of the gate vector d, and the streams they draw from.

A law knows its moments, the gates to evaluate the network at, and how to draw.
A stream is a random generator that depends only on (seed, step, rank): no module tosses
its own coin, and nothing reads the global generator.
"""

from ._bernoulli import Bernoulli
from ._deterministic import Deterministic
from ._draw import Per, draw
from ._fixed_depth import FixedDepth
from ._law import Law, Rescale, SurvivalLaw
from ._stream import stream

__all__ = [
    "Bernoulli",
    "Deterministic",
    "FixedDepth",
    "Law",
    "Per",
    "Rescale",
    "SurvivalLaw",
    "draw",
    "stream",
]
