"""Theorem 1: at initialisation uniform survival has the largest regulariser on average."""

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ... import budgets
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import by_mode
from ._modes import LINEAR, UNIFORM, law
from ._weights import WeightSettings, weights_at_initialisation

SOURCE = "Hayou & Ayed 2021, Theorem 1"
BUDGETS = (0.3, 0.5, 0.7, 0.9)
GROUPS = 20  # of draws, for the standard errors of what is not a mean


def run(settings: WeightSettings, context: Context) -> Outcome:
    """Compare the regulariser of the modes with the largest at each budget, under mean g_l."""
    g = weights_at_initialisation(settings, context).double()
    rows = [
        (budget, mode, *_share_of_largest(g, survival, budget))
        for budget in BUDGETS
        for mode, survival in _modes(settings.depth, budget).items()
    ]
    data = pl.DataFrame(rows, schema=["budget", "mode", "share", "standard_error"], orient="row")
    return Outcome(_measurements(data, len(g)), data, _figure(data, settings))


def _modes(depth: int, budget: float) -> dict[str, Tensor]:
    modes = {UNIFORM: law(UNIFORM, depth, budget).survival}
    if budget > 0.5:  # linear decay cannot go below about one half
        modes[LINEAR] = law(LINEAR, depth, budget).survival
    return modes


def _share_of_largest(g: Tensor, p: Tensor, budget: float) -> tuple[float, float]:
    """Return the regulariser at p over the largest possible, and its error by the jackknife."""
    groups = g.tensor_split(min(GROUPS, len(g)))
    sums = torch.stack([group.sum(0) for group in groups])
    left_out = [_share(sums.sum(0) - one, p, budget) for one in sums]
    spread = torch.tensor(left_out, dtype=g.dtype)
    error = (len(groups) - 1) * float(spread.var(correction=0))
    return _share(sums.sum(0), p, budget), error**0.5


def _share(g: Tensor, p: Tensor, budget: float) -> float:
    best = budgets.max_regularization(g, budget)
    return float((p * (1 - p) * g).sum() / (best * (1 - best) * g).sum())


def _measurements(data: pl.DataFrame, draws: int) -> dict[str, Measurement]:
    return {
        f"{row['mode']}, budget {row['budget']:g}: share of the largest regulariser": Measurement(
            row["share"], row["standard_error"], draws
        )
        for row in data.filter(mode=UNIFORM).iter_rows(named=True)
    }


def _figure(data: pl.DataFrame, settings: WeightSettings) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_line(point=True)
        .encode(
            x=alt.X("budget:Q", title="budget", scale=alt.Scale(zero=False)),
            y=alt.Y("share:Q", title="regulariser, of the largest", scale=alt.Scale(zero=False)),
            color=by_mode(UNIFORM, LINEAR),
        )
    )
    caption = (
        "Regulariser of each mode as a share of the largest at that budget, under the mean of "
        f"g_l over {settings.draws} draws of the weights. Stable ResNet of depth "
        f"{settings.depth} and width {settings.width} at initialisation."
    )
    return Figure("theorem1", "Uniform survival regularises most", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/theorem1",
    source=SOURCE,
    claims=tuple(
        Claim(
            f"uniform, budget {budget:g}: share of the largest regulariser",
            1.0,
            SOURCE,
            tolerance=0.01,
            relation=">=",
        )
        for budget in BUDGETS
    ),
    profiles={
        "smoke": WeightSettings(depth=8, width=32, draws=6, samples=4),
        "cpu": WeightSettings(draws=60),
        "paper": WeightSettings(),
    },
    run=run,
)
