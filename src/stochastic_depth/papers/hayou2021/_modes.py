"""The paper's three ways to spend a budget, as laws of gates."""

import torch

from ... import budgets, gates, schedules

STANDARD, UNIFORM, LINEAR = "standard", "uniform", "linear"
MODES = (STANDARD, UNIFORM, LINEAR)


def law(mode: str, num_blocks: int, budget: float) -> gates.Bernoulli:
    """Return the law of the gates: 0 or 1, without rescaling, as in equation 1.

    Args:
        mode: `"standard"` (no stochastic depth), `"uniform"` or `"linear"`.
        num_blocks: L.
        budget: expected share of active blocks, met exactly; not used by `"standard"`.
    """
    if mode == STANDARD:
        return gates.Bernoulli(torch.ones(num_blocks), rescale="test")
    family = schedules.uniform if mode == UNIFORM else schedules.linear
    return gates.Bernoulli(budgets.fit(family, num_blocks, budget)(num_blocks), rescale="test")
