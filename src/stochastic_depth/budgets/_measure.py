"""Measure survival probabilities: the distribution of the number of active blocks."""

import math
from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from .. import _checks
from .._checks import fail, interval, probabilities
from .._typing import Probabilities


def expected_depth(p: Probabilities | Iterable[float]) -> float:
    """Return the expected number of active blocks, `sum_l p_l`.

    Args:
        p: survival probabilities, shape (L,), in [0, 1].

    Returns:
        The number of blocks, in [0, L].

    Raises:
        InvalidArgument: an entry outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.expected_depth(sd.schedules.linear(0.5)(54))
        40.25

    References:
        Huang et al. 2016, section 3: (3L - 1)/4 for linear decay to 0.5.
    """
    return float(probabilities("p", p).sum())


def depth_variance(p: Probabilities | Iterable[float]) -> float:
    """Return the variance of the number of active blocks, `sum_l p_l (1 - p_l)`.

    Args:
        p: survival probabilities of independent blocks, shape (L,), in [0, 1].

    Returns:
        The variance, in [0, L/4].

    Raises:
        InvalidArgument: an entry outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.depth_variance([0.5] * 100)
        25.0
    """
    p = probabilities("p", p)
    return float((p * (1 - p)).sum())


def active_share(p: Probabilities | Iterable[float], costs: Iterable[float] | None = None) -> float:
    """Return the expected active share `sum_l c_l p_l / sum_l c_l`, in [0, 1].

    Args:
        p: survival probabilities, shape (L,), in [0, 1].
        costs: block costs, shape (L,), in any unit, at least 0 and not all 0; equal by
            default.

    Returns:
        The share of the cost, or of the blocks if no costs are given.

    Raises:
        InvalidArgument: an entry of `p` outside [0, 1], or costs that are negative,
            all 0, of another length, or further apart than a factor of 1e12.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.active_share([1.0, 0.5], costs=[4.0, 1.0])
        0.9
    """
    p = probabilities("p", p)
    costs = _checks.costs(costs, len(p))
    return float(costs @ p / costs.sum())


def depth_distribution(p: Probabilities | Iterable[float]) -> Float[Tensor, " L+1"]:
    """Return P(k blocks are active) for k = 0..L: the Poisson-binomial distribution.

    Convolve with (1 - p_l, p_l), block by block. All terms are positive, so nothing
    cancels; O(L^2) time.

    Args:
        p: survival probabilities of independent blocks, shape (L,), in [0, 1].

    Returns:
        float64 tensor of shape (L+1,) that sums to 1.

    Raises:
        InvalidArgument: an entry outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.depth_distribution([0.5, 0.8])
        tensor([0.1000, 0.5000, 0.4000], dtype=torch.float64)

    References:
        Hayou & Ayed 2021, figure 1a.
    """
    p = probabilities("p", p)
    distribution = p.new_zeros(len(p) + 1)
    distribution[0] = 1
    for depth, survival in enumerate(p.tolist(), start=1):
        shifted = distribution[:depth] * survival
        distribution[:depth] *= 1 - survival
        distribution[1 : depth + 1] += shifted
    return distribution


def depth_interval(p: Probabilities | Iterable[float], beta: float) -> float:
    """Return the half width of an interval that the depth leaves with probability <= beta.

        |L_delta - sum p| <= v u^{-1}(log(2/beta) / v),  v = sum p_l (1 - p_l),
        u(t) = (1 + t) log(1 + t) - t

    This is Bennett's inequality: a bound for every L, not an approximation.

    Args:
        p: survival probabilities of independent blocks, shape (L,), in [0, 1].
        beta: probability of leaving the interval, in (0, 1).

    Returns:
        The half width in blocks; 0 when no block is random.

    Raises:
        InvalidArgument: `p` or `beta` out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> round(sd.budgets.depth_interval([0.5] * 100, beta=0.05), 2)
        14.76

    References:
        Hayou & Ayed 2021, Lemma 1.
    """
    beta = interval("beta", beta, 0.0, 1.0)
    if beta in (0.0, 1.0):
        raise fail("beta", "in (0, 1)", beta, "0.05 gives a 95 % interval.")
    variance = depth_variance(p)
    if variance == 0:
        return 0.0
    return variance * _inverse_bennett((math.log(2) - math.log(beta)) / variance)


def _inverse_bennett(value: float) -> float:
    """Solve u(t) = value for t > 0 by Newton's method.

    u is convex and increasing, and the start lies to the right of the root, because it
    solves t^2 / (2 + 2t/3) = value and u(t) >= t^2 / (2 + 2t/3). So the iterates fall to the
    root without overshooting, until rounding stops them.
    """
    t = value / 3 + math.hypot(value / 3, math.sqrt(2 * value))
    while True:
        smaller = (t + value) / math.log1p(t) - 1  # t - (u(t) - value) / u'(t)
        if not smaller < t:
            return t
        t = smaller
