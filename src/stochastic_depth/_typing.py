"""Shapes, by the names the project uses for them.

`L` is the number of blocks, `N` the number of samples in a batch.
"""

from collections.abc import Callable
from typing import TypeAlias

from jaxtyping import Float, Shaped
from torch import Tensor

Probabilities: TypeAlias = Float[Tensor, " L"]
"""One survival probability per block, float64 on the CPU."""

Costs: TypeAlias = Float[Tensor, " L"]
"""One cost per block, at least 0 and not all 0, in any unit: only ratios matter."""

Mask: TypeAlias = Shaped[Tensor, " L"]
"""One boolean per block."""

Gates: TypeAlias = Float[Tensor, " L"] | Float[Tensor, "L N"]
"""One gate per block, or one per block and sample."""

Family: TypeAlias = Callable[[float], Callable[[int], Probabilities]]
"""One free parameter in [0, 1] -> schedule, non-decreasing in the parameter."""
