"""Spend a budget so that the regulariser is smallest."""

import math
from collections.abc import Iterable
from typing import get_args

import torch
from torch import Tensor

from .._checks import fail, finite, interval, one_of, positive
from .._typing import Probabilities
from ..budgets import sense
from ..gates import Rescale


def min_regularization(
    g: Tensor | Iterable[float], budget: float, rescale: Rescale = "train"
) -> Probabilities:
    """Return the probabilities that minimise the regulariser at a fixed budget.

        min sum_l Var(d_l) g_l   s.t.  sum_l p_l = budget L,  0 <= p_l <= 1

    Under `rescale="train"` the variance is (1-p)/p and the problem is convex: p_l =
    min(1, c sqrt(g_l)), which is optimal because g_l / p_l^2 is the same for all blocks
    with p_l < 1 and at least as large for those with p_l = 1.

    For gates of 0 and 1 the variance p(1-p) is concave and the smallest value lies in a
    corner: every p_l is 0 or 1, but for one block, of smallest g, that takes what is left
    of a budget that is no whole number of blocks. Which blocks are at 1 does not matter
    to the objective; those of largest g are kept, whose loss would change most.

    Args:
        g: regularisation weights g_l, shape (L,), positive; see `regularizer`.
        budget: expected share of active blocks, in (0, 1].
        rescale: of the law, see `gates.Rescale`.

    Returns:
        float64 tensor of shape (L,).

    Raises:
        InvalidArgument: an entry of `g` not positive and finite, or budget out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.theory.min_regularization([1.0, 4.0, 9.0], budget=0.5)
        tensor([0.2500, 0.5000, 0.7500], dtype=torch.float64)
        >>> sd.theory.min_regularization([1.0, 4.0, 9.0], budget=0.5, rescale="test")
        tensor([0.5000, 0.0000, 1.0000], dtype=torch.float64)

    References:
        Counterpart of Hayou & Ayed 2021, Lemma 2 (`budgets.max_regularization`).
    """
    g = finite("g", g)
    if not (g > 0).all():
        index = int((g <= 0).nonzero()[0])
        raise fail(f"g[{index}]", "positive", f"{float(g[index]):g}", "Leave such a block out.")
    if one_of("rescale", rescale, get_args(Rescale)) == "train":
        return sense(g.sqrt(), budget)
    whole, rest = _split(positive("budget", interval("budget", budget, 0.0, 1.0)) * len(g))
    p, order = torch.zeros_like(g), g.argsort(descending=True)
    p[order[:whole]] = 1.0
    if rest:
        p[order[-1]] = rest
    return p


def _split(depth: float) -> tuple[int, float]:
    """Return the whole blocks and the rest; a rest of rounding errors is none."""
    if math.isclose(depth, round(depth), abs_tol=1e-9):
        return round(depth), 0.0
    return math.floor(depth), depth - math.floor(depth)
