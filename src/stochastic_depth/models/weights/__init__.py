"""Weight processes: how the entries of a weight matrix vary from layer to layer.

A process draws, for each entry independently, a Gaussian (or uniform) sequence over the
layers l = 1..L with mean 0 and variance 1 in every layer. What differs is how much
neighbouring layers have in common, from nothing (`gaussian`, `uniform`) to nearly
everything (`smooth`), with `fractional` in between. A network multiplies the values by
1/sqrt(fan in).

`draw` holds the weights of many networks; `Streamed` draws a layer when it is needed.
"""

from ._brownian import Brownian as brownian
from ._independent import Gaussian as gaussian
from ._independent import Uniform as uniform
from ._layers import Streamed, draw
from ._parse import parse
from ._process import WeightProcess
from ._stationary import Fractional as fractional
from ._stationary import Smooth as smooth
from ._stationary import StationaryProcess

__all__ = [
    "WeightProcess",
    "StationaryProcess",
    "gaussian",
    "uniform",
    "smooth",
    "fractional",
    "brownian",
    "parse",
    "draw",
    "Streamed",
]
