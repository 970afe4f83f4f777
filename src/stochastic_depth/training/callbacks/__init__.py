"""Lightning callbacks: what a run does besides minimizing its loss.

`StochasticDepth` and `SenseMode` are of use in any Lightning training; the others belong
to a run directory. They run in this order: the schedule is refitted, the gates are set,
the step is recorded, what was recorded is saved, and shown.
"""

from ._checkpoints import Checkpoints
from ._exchange import Exchange
from ._progress import ProgressLine
from ._random_state import RandomState
from ._recorder import Recorder
from ._sense_mode import SenseMode
from ._step_gates import StepGates
from ._stochastic_depth import StochasticDepth

__all__ = [
    "Checkpoints",
    "Exchange",
    "ProgressLine",
    "RandomState",
    "Recorder",
    "SenseMode",
    "StepGates",
    "StochasticDepth",
]
