"""Surgery: find the blocks of a model, put gates on them, take them off, cut them out.

The README of this folder says how a foreign block is translated into residual steps, and
which mistakes that rules out.
"""

from ._apply import apply
from ._depth_check import DepthCheck, depth_check
from ._extract import extract
from ._find import find_blocks
from ._gating import GatedModel, gated, gating
from ._handle import Handle, handle
from ._plan import Plan, plan
from ._predict import Prediction, predict
from ._recalibrate import recalibrate
from ._subnetworks import subnetwork_losses
from .following import Block, Granularity, Scale, Transitions
from .running import DroppedGrads, Ranks

__all__ = [
    # look
    "Block",
    "Plan",
    "find_blocks",
    "plan",
    # look at its depth
    "DepthCheck",
    "depth_check",
    # put gates on, and hold them
    "Handle",
    "apply",
    "handle",
    # choose the gates yourself
    "GatedModel",
    "gated",
    "gating",
    # cut blocks out
    "extract",
    # after training
    "Prediction",
    "predict",
    "recalibrate",
    "subnetwork_losses",
    # arguments
    "DroppedGrads",
    "Granularity",
    "Ranks",
    "Scale",
    "Transitions",
]
