"""Budgets: the expected active share of the network, in (0, 1].

    sum_l c_l p_l / sum_l c_l = budget

with c_l >= 0 the cost of block l; without costs all blocks weigh the same and the
budget is the expected share of blocks, L_bar / L in Hayou & Ayed 2021.

The first functions measure given probabilities; `fit` solves for the free parameter of a
schedule; `project`, `sense` and `max_regularization` allocate a budget over the blocks.
Everything that takes a budget meets it to 1e-6 or raises `InfeasibleBudget` with the
feasible range.
"""

from ._allocate import max_regularization, project, sense
from ._fit import fit
from ._measure import (
    active_share,
    depth_distribution,
    depth_interval,
    depth_variance,
    expected_depth,
)

__all__ = [
    # measure
    "active_share",
    "depth_distribution",
    "depth_interval",
    "depth_variance",
    "expected_depth",
    # solve
    "fit",
    # allocate
    "max_regularization",
    "project",
    "sense",
]
