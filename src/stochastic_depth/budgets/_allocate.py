"""Spend a budget over the blocks: by distance, by sensitivity, by regularisation."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .._checks import fail, finite, probabilities, probability
from .._errors import InvalidArgument
from .._typing import Probabilities
from ._piecewise import solve
from ._target import Target

SMALLEST = torch.finfo(torch.float64).tiny
"""A ratio below the smallest normal float64 has no finite inverse: raise it to this, or to 0."""


def project(
    p: Probabilities | Iterable[float],
    budget: float,
    costs: Iterable[float] | None = None,
    protected: Iterable[bool] | None = None,
) -> Probabilities:
    """Return the probabilities nearest to `p` that meet the budget.

        min ||q - p||^2   s.t.  sum_l c_l q_l / sum_l c_l = budget,  0 <= q_l <= 1

    whose solution is `q_l = clip(p_l + lambda c_l, 0, 1)`: a block without cost keeps p_l.

    Args:
        p: wanted survival probabilities, shape (L,), in [0, 1].
        budget: expected active share, in (0, 1].
        costs: block costs (L,), at least 0 and not all 0; equal by default.
        protected: boolean (L,), blocks held at survival 1; none by default.

    Returns:
        float64 tensor of shape (L,).

    Raises:
        InfeasibleBudget: protected blocks alone exceed the budget.
        InvalidArgument: an argument out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.project([1.0, 0.9, 0.5], budget=0.7)
        tensor([0.9000, 0.8000, 0.4000], dtype=torch.float64)
    """
    p = probabilities("p", p)
    target = Target.of(budget, len(p), costs, protected)
    paid = target.costs > 0  # a block without cost keeps p_l and has no knot
    knots = torch.cat([p.new_zeros(1), -(p / target.costs)[paid], ((1 - p) / target.costs)[paid]])
    return _spend(target, lambda t: (p + t * target.costs).clamp(0, 1), knots)


def sense(
    sensitivities: Tensor | Iterable[float],
    budget: float,
    minimum: float = 0.0,
    costs: Iterable[float] | None = None,
    protected: Iterable[bool] | None = None,
) -> Probabilities:
    """Return SenseMode: survival in proportion to how much the loss depends on a block.

        p_l = min(1, minimum + c |S_l|),   c solved for the budget

    `minimum=0` is the rule of the paper's experiments (p proportional to |S|),
    `minimum > 0` that of its section 5. The absolute value is ours: a useful block has
    S_l < 0, and the signed rule would drop it most.

    Args:
        sensitivities: S_l = dLoss/dgate_l, shape (L,), finite; see `theory.sensitivities`.
        budget: expected active share, in (0, 1].
        minimum: smallest survival probability, in [0, 1].
        costs: block costs (L,), at least 0 and not all 0; equal by default.
        protected: boolean (L,), blocks held at survival 1; none by default.

    Returns:
        float64 tensor of shape (L,).

    Raises:
        InfeasibleBudget: below `minimum`, or above what the blocks with non-zero
            sensitivity can reach.
        InvalidArgument: all sensitivities zero, or an argument out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.sense([-0.3, 0.1, -0.1], budget=0.5)
        tensor([0.9000, 0.3000, 0.3000], dtype=torch.float64)

    References:
        Hayou & Ayed 2021, sections 5 and 6.
    """
    strength = finite("sensitivities", sensitivities).abs()
    minimum = probability("minimum", minimum)
    target = Target.of(budget, len(strength), costs, protected)
    strength = torch.where(target.droppable, strength, 0.0)
    if not strength.any():
        raise InvalidArgument(
            "sensitivities must have a non-zero entry on a droppable block; got all zero. "
            "Estimate them on a batch with a non-zero loss gradient, or use a uniform schedule."
        )
    # The rule depends on ratios alone. Those too small to invert would give infinite knots.
    strength = strength / strength.max()
    strength[strength < SMALLEST] = 0
    reach = (1 - minimum) / strength[strength > 0]
    knots = torch.cat([reach.new_zeros(1), reach])
    return _spend(target, lambda c: _clipped_line(minimum, c, strength), knots)


def max_regularization(g: Tensor | Iterable[float], budget: float) -> Probabilities:
    """Return the probabilities that maximise the regulariser at a fixed budget.

        max sum_l p_l (1 - p_l) g_l   s.t.  sum_l p_l = budget L,  0 <= p_l <= 1

    with solution `p_l = clip(1/2 - C / g_l, 0, 1)`; C has the sign of `1/2 - budget`.
    Above a budget of one half the blocks with small g are kept most; below it they are
    dropped most.

    Args:
        g: regularisation weights g_l, shape (L,), positive; see `theory.regularizer`.
        budget: expected share of active blocks, in (0, 1].

    Returns:
        float64 tensor of shape (L,).

    Raises:
        InvalidArgument: an entry of `g` not positive and finite, or budget out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.budgets.max_regularization([1.0, 1.0, 2.0], budget=0.7)
        tensor([0.7400, 0.7400, 0.6200], dtype=torch.float64)

    References:
        Hayou & Ayed 2021, Lemma 2.
    """
    g = finite("g", g)
    if not (g > 0).all():
        index = int((g <= 0).nonzero()[0])
        raise fail(f"g[{index}]", "positive", f"{float(g[index]):g}", "Leave this block out.")
    target = Target.of(budget, len(g), costs=None, protected=None)
    scale = (g / g.max()).clamp(min=SMALLEST)
    knots = torch.cat([-scale, scale]) / 2
    return _spend(target, lambda t: _clipped_line(0.5, t, 1 / scale), knots)


def _spend(target: Target, allocation: Callable[[float], Tensor], knots: Tensor) -> Probabilities:
    """Solve a one-parameter allocation for the budget."""
    low, high = (target.share(allocation(float(t))) for t in (knots.min(), knots.max()))
    target.require_within(low, high, "this allocation can reach with these blocks")
    solution = solve(lambda t: target.share(allocation(t)), knots, target.budget)
    return target.with_protected(allocation(solution))


def _clipped_line(offset: float, slope: float, direction: Tensor) -> Tensor:
    """Return clip(offset + slope * direction, 0, 1)."""
    return (offset + slope * direction).clamp(0, 1)
