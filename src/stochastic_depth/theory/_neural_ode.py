"""The limit of depth for smooth weights: an ordinary differential equation."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from .._checks import count

Field: TypeAlias = Callable[[float, Tensor], Tensor]
"""(t, H) -> dH/dt."""


def solve_ode(field: Field, h: Tensor, steps: int) -> Tensor:
    """Solve dH/dt = field(t, H) on [0, 1] by the classical Runge-Kutta method.

    Residual networks with weights smooth in depth and beta = 1 are the method of Euler for
    such an equation, of order 1; this one has order 4 and serves as their reference.

    Args:
        field: (t, H) -> dH/dt; asked at multiples of 1/(2 steps).
        h: H_0.
        steps: at least 1.

    Returns:
        H_1.

    Raises:
        InvalidArgument: `steps` below 1.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> sd.theory.solve_ode(lambda t, h: h, torch.ones(1, dtype=torch.float64), steps=20)
        tensor([2.7183], dtype=torch.float64)

    References:
        Marion et al. 2022, section 3: the limit for smooth weights.
    """
    step = 1 / count("steps", steps)
    for index in range(steps):
        start, middle, end = index * step, (index + 0.5) * step, (index + 1) * step
        k1 = field(start, h)
        k2 = field(middle, h + step / 2 * k1)
        k3 = field(middle, h + step / 2 * k2)
        k4 = field(end, h + step * k3)
        h = h + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return h
