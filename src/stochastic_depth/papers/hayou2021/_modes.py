"""The paper's three ways to spend a budget: their laws of gates, and their colours."""

import altair as alt
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


ALONE = "#0072b2"
"""The first colour of the reports that is not the baseline's."""


def by_mode(*shown: str) -> alt.Color:
    """Return the colour of a mode, the same in every figure; the legend has those shown."""
    legend = alt.Legend(values=list(shown), symbolType="stroke", symbolOpacity=1)
    return alt.Color("mode:N", scale=alt.Scale(domain=list(MODES)), legend=legend)
