"""The networks the papers use, as functions of an input and a gate vector.

`model(x)` runs every block; `model(x, gates)` runs them under the given gates, shape
(L,) or (L, N). Networks scaled by depth come in two forms: `ScaledResNet`, one to train,
and `scaled_states`, many independent ones in one call; a process from `weights` is the law
of their weights over depth. To train with gates drawn anew at each step, use
`stochastic_depth.apply`.
"""

from . import weights
from ._cifar import CifarResNet
from ._depth_scale import depth_scale
from ._many import scaled_states
from ._scaled import ScaledResNet
from ._vanilla import VanillaResNet

__all__ = [
    "CifarResNet",
    "VanillaResNet",
    "ScaledResNet",
    "scaled_states",
    "depth_scale",
    "weights",
]
