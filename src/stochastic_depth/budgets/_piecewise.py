"""The one equation behind all allocations."""

from collections.abc import Callable

import torch
from torch import Tensor


def solve(total: Callable[[float], float], knots: Tensor, target: float) -> float:
    """Return the largest t with `total(t) = target`, exactly up to rounding.

    Clipped allocations p_l(t) = clip(a_l + b_l t, 0, 1) with b_l >= 0 make `total`
    piecewise linear and non-decreasing: bisect over the knots, then interpolate. Where only
    blocks without cost still gain, `total` is level, and the largest t gives them the most.

    Args:
        total: non-decreasing, linear between knots.
        knots: all t at which the clipping of some p_l starts or ends, in any order.
        target: between the totals at the smallest and the largest knot.
    """
    points = torch.unique(knots).tolist()
    low, high = 0, len(points) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(points[middle]) <= target else (low, middle)
    below, above = total(points[low]), total(points[high])
    if above <= below:
        return points[high]
    weight = min(1.0, max(0.0, (target - below) / (above - below)))
    return points[low] + weight * (points[high] - points[low])
