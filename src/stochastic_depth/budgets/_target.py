"""The budget as an equation."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._checks import fail, interval
from .._errors import InfeasibleBudget

TOLERANCE = 1e-6
"""How closely every budget is met, in shares of the network."""


@dataclass(frozen=True)
class Target:
    """The equation `sum_l c_l p_l = budget`, with protected blocks at survival 1.

    Attributes:
        budget: expected active share of the whole network, in (0, 1].
        costs: normalised block costs (L,), summing to 1.
        droppable: which blocks may drop (L,).
    """

    budget: float
    costs: Tensor
    droppable: Tensor

    @classmethod
    def of(
        cls,
        budget: float,
        num_blocks: int,
        costs: Iterable[float] | None,
        protected: Iterable[bool] | None,
    ) -> "Target":
        """Validate the arguments that every solver of budgets shares."""
        budget = interval("budget", budget, 0.0, 1.0, remedy="It is the expected active share.")
        if budget == 0:
            raise fail("budget", "in (0, 1]", 0, "A network without blocks cannot be trained.")
        weights = _checks.costs(costs, num_blocks)
        fixed = _checks.mask("protected", protected, num_blocks)
        return cls(budget, weights / weights.sum(), ~fixed)

    def with_protected(self, p: Tensor) -> Tensor:
        """Set protected blocks to survival 1."""
        return torch.where(self.droppable, p, 1.0)

    def share(self, p: Tensor) -> float:
        """Return the active share of the network under `p`, protected blocks at 1."""
        return float(self.costs @ self.with_protected(p))

    def require_within(self, low: float, high: float, reason: str) -> None:
        """Raise `InfeasibleBudget` unless `low <= budget <= high`, up to rounding."""
        slack = 1e-12
        if not low - slack <= self.budget <= high + slack:
            raise InfeasibleBudget(
                f"budget must be in [{low:.6g}, {high:.6g}], which is what {reason}; "
                f"got {self.budget:g}. Choose a budget in that range or another way to spend it."
            )


def warn_of_what_is_left(
    p: Tensor, costs: Iterable[float], protected: Tensor, budget: float
) -> None:
    """Say so if blocks that always run take most of a budget.

    The threshold is half: from there on the droppable blocks run less than half as often as a
    budget says that blocks do, and the variance (1 - p) / p of their gates, scaled to mean 1, is
    more than twice that at the budget.

    Warns:
        UserWarning: the droppable blocks survive with less than half of the budget.
    """
    weights = torch.as_tensor(list(costs), dtype=torch.float64).masked_fill(protected, 0.0)
    if bool(protected.any()) and bool(weights.any()):
        left = float(weights @ p / weights.sum())
        if left < budget / 2:
            warnings.warn(
                f"A budget of {budget:g} leaves the {int((~protected).sum())} droppable blocks a "
                f"survival of {left:.3f}: {int(protected.sum())} blocks always run, and spend "
                "the rest. Raise the budget, or see in the plan why they are protected.",
                stacklevel=5,  # the caller of `apply`
            )
