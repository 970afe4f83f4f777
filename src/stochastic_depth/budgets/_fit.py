"""Fit the one free parameter of a family of schedules to a budget."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor

from .._checks import MOST_BLOCKS, count, fail, function, probabilities, same_length
from .._errors import InfeasibleBudget
from ._target import TOLERANCE, Target

ScheduleLike = TypeVar("ScheduleLike", bound=Callable[[int], Tensor])


def fit(
    family: Callable[[float], ScheduleLike],
    num_blocks: int,
    budget: float,
    costs: Iterable[float] | None = None,
    protected: Iterable[bool] | None = None,
) -> ScheduleLike:
    """Return the member of `family` whose expected active share is `budget`.

        sum_l c_l p_l(theta) / sum_l c_l = budget,   p_l = 1 for protected blocks

    Args:
        family: one free parameter in [0, 1] -> schedule, whose survival must not fall as
            the parameter grows: `schedules.uniform`, `schedules.linear`, or
            `lambda last: schedules.power(last, exponent=2)`.
        num_blocks: L, at least 1.
        budget: expected active share, in (0, 1].
        costs: block costs (L,), at least 0 and not all 0; equal by default.
        protected: boolean (L,), blocks that always run; none by default.

    Returns:
        The schedule; with protected blocks at 1 its share is `budget` to 1e-6.

    Raises:
        InfeasibleBudget: the family cannot reach the budget; the message has the
            feasible range. Linear decay cannot go below about one half.
        InvalidArgument: an argument out of range, or a family whose survival falls as
            its parameter grows.

    Example:
        >>> import stochastic_depth as sd
        >>> schedule = sd.budgets.fit(sd.schedules.linear, num_blocks=54, budget=0.7)
        >>> round(schedule.last, 4)
        0.4109

    References:
        Hayou & Ayed 2021, section 2: the training budget L_bar.
    """
    function("family", family, "a function of one parameter that returns a schedule")
    num_blocks = count("num_blocks", num_blocks, most=MOST_BLOCKS)
    target = Target.of(budget, num_blocks, costs, protected)

    def share(parameter: float) -> float:
        name = f"family({parameter:g})({num_blocks})"
        schedule = function(f"family({parameter:g})", family(parameter), "a schedule")
        p = probabilities(name, schedule(num_blocks))
        return target.share(same_length(name, p, num_blocks))

    low, high = 0.0, 1.0
    if share(high) < share(low):
        ends = f"shares {share(low):.6g} at 0 and {share(high):.6g} at 1"
        raise fail("family", "non-decreasing in its parameter", ends, "Is it in drop rates?")
    target.require_within(share(low), share(high), f"this family reaches on {num_blocks} blocks")
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if share(middle) < target.budget else (low, middle)
    # Bisected down to neighbouring floats: `high` is the smallest that reaches the budget.
    if abs(share(high) - target.budget) > TOLERANCE:
        raise InfeasibleBudget(
            f"budget {target.budget:g} must be met to {TOLERANCE:g}; this family jumps over it, "
            f"to {share(high):.6g} at parameter {high:.6g}. Use a family that is continuous "
            f"and does not fall in its parameter."
        )
    return family(high)
