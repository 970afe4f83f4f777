"""What holds of survival probabilities alone: figure 1a, Lemma 1 and Lemma 2."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor

from ... import budgets, gates
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._modes import LINEAR, UNIFORM, by_mode, law

FIGURE1A = "Hayou & Ayed 2021, figure 1a"
FOLLOWS = "sum of p_l (1 - p_l) at L = 100 and budget 0.5"


@dataclass(frozen=True)
class Draws:
    """L, L_bar/L and the number of drawn masks."""

    num_blocks: int = 100
    budget: float = 0.5
    draws: int = 100_000


def draw_depths(settings: Draws, context: Context) -> Outcome:
    """Compute the law exactly, and draw from it."""
    measurements: dict[str, Measurement] = {}
    tables = []
    for step, mode in enumerate((UNIFORM, LINEAR)):
        bernoulli = law(mode, settings.num_blocks, settings.budget)
        masks = bernoulli.sample(settings.draws, generator=gates.stream(context.seed, step))
        depths = masks.sum(0).double()
        exact = budgets.depth_distribution(bernoulli.survival)
        drawn = depths.round().long().bincount(minlength=len(exact)) / settings.draws
        tables.append(_depths_table(mode, exact.tolist(), drawn.tolist()))
        measurements |= {
            f"{mode}: mean depth": Measurement.of(depths),
            f"{mode}: variance of the depth": Measurement.of((depths - depths.mean()).square()),
        }
    data = pl.concat(tables)
    return Outcome(measurements, data, _depths_figure(data, settings))


def _depths_table(mode: str, exact: list[float], drawn: list[float]) -> pl.DataFrame:
    depths = list(range(len(exact)))
    return pl.DataFrame(
        {"mode": [mode] * len(exact), "depth": depths, "exact": exact, "drawn": drawn}
    )


def _depths_figure(data: pl.DataFrame, settings: Draws) -> Figure:
    likely = data.filter((pl.col("exact") > 1e-5) | (pl.col("drawn") > 0))
    x = alt.X("depth:Q", title="active blocks", scale=alt.Scale(zero=False, nice=False))
    y = alt.Y("drawn:Q", title="probability")
    chart = alt.LayerChart(
        layer=[
            alt.Chart(likely)
            .mark_bar(opacity=0.45, width=5)
            .encode(x=x, y=y.stack(None), color=by_mode(UNIFORM, LINEAR)),
            alt.Chart(likely).mark_line().encode(x=x, y="exact:Q", color=by_mode(UNIFORM, LINEAR)),
        ]
    )
    caption = (
        f"Number of active blocks of L = {settings.num_blocks} at budget {settings.budget:g}. "
        f"Lines: exact; bars: {settings.draws:,} drawn masks. Uniform survival spreads more."
    )
    return Figure("figure1a", "Depth of the subnetwork", caption, caption, chart)


figure1a = Artefact(
    name="hayou2021/figure1a",
    source=FIGURE1A,
    claims=(
        Claim("uniform: mean depth", 50.0, f"{FIGURE1A}, budget 0.5", 0.1),
        Claim("linear: mean depth", 50.0, f"{FIGURE1A}, budget 0.5", 0.1),
        Claim("uniform: variance of the depth", 25.0, FOLLOWS, 0.5),
        Claim("linear: variance of the depth", 16.83, FOLLOWS, 0.5),
    ),
    profiles={"smoke": Draws(draws=1000), "cpu": Draws(), "paper": Draws()},
    run=draw_depths,
)
"""Figure 1a: the law of the depth of the subnetwork, uniform and linear at equal budget."""


LEMMA1 = "Hayou & Ayed 2021, Lemma 1"
LINEAR_SHARES = tuple(round(0.05 * k, 2) for k in range(10, 20))  # linear decay begins at one half


@dataclass(frozen=True)
class Bound:
    """L, and the probability beta of leaving the interval."""

    num_blocks: int = 100
    beta: float = 0.05


def bound_depths(settings: Bound, context: Context) -> Outcome:
    """Compute the bound, and the exact probability of staying within, over all budgets."""
    del context  # nothing is drawn
    rows = []
    for share in LINEAR_SHARES:
        for mode in (UNIFORM, LINEAR):
            p = law(mode, settings.num_blocks, share).survival
            width = budgets.depth_interval(p, settings.beta)
            rows.append((share, mode, budgets.depth_variance(p), width, _coverage(p, width)))
    columns = ["budget", "mode", "variance", "half_width", "coverage"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_bounds(data), data, _bounds_figure(data, settings))


def _coverage(p: Tensor, width: float) -> float:
    """Return the exact P(|L_delta - E L_delta| <= width)."""
    law = budgets.depth_distribution(p)
    distance = (law.new_tensor(range(len(law))) - budgets.expected_depth(p)).abs()
    return float(law[distance <= width].sum())


def _bounds(data: pl.DataFrame) -> dict[str, Measurement]:
    uniform, linear = (data.filter(mode=mode)["half_width"] for mode in (UNIFORM, LINEAR))
    return {
        "smallest coverage": Measurement(min(data["coverage"].to_list())),
        "smallest excess of the uniform bound": Measurement(min((uniform - linear).to_list())),
    }


def _bounds_figure(data: pl.DataFrame, settings: Bound) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_line(point=True)
        .encode(
            x=alt.X("budget:Q", title="budget", scale=alt.Scale(zero=False)),
            y=alt.Y("half_width:Q", title="half width of the interval, blocks"),
            color=by_mode(UNIFORM, LINEAR),
            tooltip=["budget", "mode", "half_width", "coverage"],
        )
    )
    caption = (
        f"Half width of the interval that the depth of the subnetwork leaves with probability "
        f"at most {settings.beta:g}, L = {settings.num_blocks}. At equal budget it is widest for "
        "uniform survival. Computed, not sampled."
    )
    return Figure("lemma1", "Concentration of depth", caption, caption, chart)


lemma1 = Artefact(
    name="hayou2021/lemma1",
    source=LEMMA1,
    claims=(
        Claim("smallest coverage", 0.95, f"{LEMMA1}, beta = 0.05", relation=">="),
        Claim("smallest excess of the uniform bound", 0.0, f"{LEMMA1}, maximality", relation=">="),
    ),
    profiles={"smoke": Bound(num_blocks=20), "cpu": Bound(), "paper": Bound()},
    run=bound_depths,
)
"""Lemma 1: the depth of the subnetwork concentrates, the least under uniform survival."""


LEMMA2 = "Hayou & Ayed 2021, Lemma 2"
SHARES = (0.1, 0.3, 0.45, 0.55, 0.7, 0.9)


@dataclass(frozen=True)
class Weights:
    """L, and how many vectors of g_l are drawn; log g_l is normal of this deviation."""

    num_blocks: int = 50
    draws: int = 20
    spread: float = 1.0


def maximise(settings: Weights, context: Context) -> Outcome:
    """Compare the formula with a numerical maximiser, and look at its direction."""
    generator = np.random.default_rng(context.seed)
    shape = (settings.draws, settings.num_blocks)
    weights = np.exp(settings.spread * generator.standard_normal(shape))
    cases = [(draw, share) for draw in range(settings.draws) for share in SHARES]
    rows = [
        (share, draw, *_compare(weights[draw], share))
        for draw, share in context.track(cases, "numerical maximisation")
    ]
    columns = ["budget", "draw", "gap", "distance", "correlation"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_maxima(data), data, _maxima_figure(weights[0], settings))


def _compare(g: np.ndarray, share: float) -> tuple[float, float, float]:
    """Return how much better the numerical maximum is, how far from p*, and corr(p*, g)."""
    p = budgets.max_regularization(g.tolist(), share).numpy()
    found = minimize(
        lambda q: -(q * (1 - q) * g).sum(),
        np.full(len(g), share),
        jac=lambda q: -(1 - 2 * q) * g,
        bounds=[(0, 1)] * len(g),
        constraints={
            "type": "eq",
            "fun": lambda q: q.sum() - share * len(g),
            "jac": lambda q: np.ones(len(g)),
        },
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    gap = -found.fun / (p * (1 - p) * g).sum() - 1
    return float(gap), float(np.abs(found.x - p).max()), float(spearmanr(p, g).statistic)


def _maxima(data: pl.DataFrame) -> dict[str, Measurement]:
    below, above = data.filter(pl.col("budget") < 0.5), data.filter(pl.col("budget") > 0.5)
    free = budgets.max_regularization([0.3, 1.0, 7.0], 0.5)
    return {
        "largest gain of a numerical maximiser": Measurement(max(data["gap"].to_list())),
        "smallest rank correlation of p* and g below one half": Measurement(
            min(below["correlation"].to_list())
        ),
        "largest rank correlation of p* and g above one half": Measurement(
            max(above["correlation"].to_list())
        ),
        "largest distance of p* from 1/2 at a budget of one half": Measurement(
            float((free - 0.5).abs().max())
        ),
    }


def _maxima_figure(g: np.ndarray, settings: Weights) -> Figure:
    rows = [
        {"budget": f"budget {share:g}", "g": float(weight), "p": float(p)}
        for share in SHARES
        for weight, p in zip(g, budgets.max_regularization(g.tolist(), share), strict=True)
    ]
    chart = (
        alt.Chart(pl.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("g:Q", title="g_l", scale=alt.Scale(type="log")),
            y=alt.Y("p:Q", title="survival probability of largest regularisation"),
            color="budget:N",
        )
    )
    caption = (
        f"p* against g_l for one draw of L = {settings.num_blocks} weights. Above a budget of one "
        "half the blocks of small g are kept most, below they are dropped most."
    )
    return Figure("lemma2", "Survival of largest regularisation", caption, caption, chart)


lemma2 = Artefact(
    name="hayou2021/lemma2",
    source=LEMMA2,
    claims=(
        Claim("largest gain of a numerical maximiser", 0.0, LEMMA2, 1e-6, "<="),
        Claim(
            "smallest rank correlation of p* and g below one half",
            0.0,
            f"{LEMMA2}, sign of C",
            relation=">=",
        ),
        Claim(
            "largest rank correlation of p* and g above one half",
            0.0,
            f"{LEMMA2}, sign of C",
            relation="<=",
        ),
        Claim(
            "largest distance of p* from 1/2 at a budget of one half",
            0.0,
            f"{LEMMA2}, global maximum",
            1e-9,
        ),
    ),
    profiles={"smoke": Weights(num_blocks=10, draws=2), "cpu": Weights(), "paper": Weights()},
    run=maximise,
)
"""Lemma 2: the survival probabilities of largest regularisation at a budget."""
