"""Running: gates on the blocks of a model, from the draw to each block's own forward."""

from ._compiling import compile_gated, warm_up, ways
from ._controller import Controller, DroppedGrads, Options, Ranks
from ._install import bearer, install, require_plain, uninstall
from ._pass import Pass
from ._ranks import refuse_synchronised, refuse_wrapped
from ._seat import CONTROLLER

__all__ = [
    "CONTROLLER",
    "Controller",
    "DroppedGrads",
    "Options",
    "Pass",
    "Ranks",
    "bearer",
    "compile_gated",
    "install",
    "refuse_synchronised",
    "refuse_wrapped",
    "require_plain",
    "uninstall",
    "warm_up",
    "ways",
]
