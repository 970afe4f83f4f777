"""The factor a in front of every branch, as a function of depth."""

from collections.abc import Callable
from typing import TypeAlias

from .._checks import count, interval, real

Beta: TypeAlias = float | Callable[[int], float]
"""An exponent, a = L^-beta, or any function L -> a."""


def depth_scale(beta: Beta, depth: int) -> float:
    """Return the factor a = L^-beta of a network of L blocks.

    Args:
        beta: an exponent in [-100, 100]: 0 does not scale, 1/2 is stable for independent weights,
            1 for smooth ones; or a callable L -> a.
        depth: L, at least 1.

    Returns:
        a, finite.

    Raises:
        InvalidArgument: `beta` out of range, `depth` below 1, the callable's a not finite.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.models.depth_scale(0.5, depth=100)
        0.1

    References:
        Marion et al. 2022, section 1.
    """
    depth = count("depth", depth)
    if callable(beta):
        return real(f"beta({depth})", beta(depth), remedy="It is the factor a of the branches.")
    exponent = real("beta", beta, remedy="The branches are scaled by L^-beta.")
    # Beyond, the factor is 0 or infinite at any depth above one.
    return depth ** -interval("beta", exponent, -100.0, 100.0)
