"""The networks the papers use, as functions of an input and a gate vector.

`model(x)` runs every block; `model(x, gates)` runs them under the given gates, shape
(L,) or (L, N). To train with gates that are drawn anew at each step, put
`stochastic_depth.apply` on a model.
"""

from ._cifar import CifarResNet
from ._vanilla import VanillaResNet

__all__ = ["CifarResNet", "VanillaResNet"]
