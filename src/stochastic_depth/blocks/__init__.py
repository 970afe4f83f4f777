"""One residual step, y = act(s(x) + a d F(x)), in its three executions.

A block's gate d arrives as a value, and its type says how the step is executed:

| gate             | execution | what runs                                             |
|------------------|-----------|-------------------------------------------------------|
| `float`          | skip      | the branch for the whole batch, or nothing at 0       |
| `Rows`           | gather    | the branch for the surviving samples only             |
| `Tensor`         | mask      | the branch for every sample, multiplied by the gate   |

`lower` turns a drawn gate vector into such values, for all blocks at once and before
the first block runs: inside the network nothing draws, branches on device data, or
synchronises.
"""

from ._gate import Execution, Gate, Rows, lower
from ._gather import replace_rows, take_rows
from ._masks import DropPath, StochasticDepth, stochastic_depth
from ._residual import Residual, residual_step, shield_gradient
from ._zero_grads import with_zero_grads

__all__ = [
    # gates, ready to execute
    "Execution",
    "Gate",
    "Rows",
    "lower",
    # the step
    "Residual",
    "residual_step",
    # its parts, for other blocks
    "replace_rows",
    "shield_gradient",
    "take_rows",
    "with_zero_grads",
    # masks of other libraries
    "DropPath",
    "StochasticDepth",
    "stochastic_depth",
]
