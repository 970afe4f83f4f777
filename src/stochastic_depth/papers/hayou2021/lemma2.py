"""Lemma 2: the survival probabilities of largest regularisation at a budget."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.stats import spearmanr

from ... import budgets
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement

SOURCE = "Hayou & Ayed 2021, Lemma 2"
SHARES = (0.1, 0.3, 0.45, 0.55, 0.7, 0.9)


@dataclass(frozen=True)
class Settings:
    """L, and how many vectors of g_l are drawn; log g_l is normal of this deviation."""

    num_blocks: int = 50
    draws: int = 20
    spread: float = 1.0


def run(settings: Settings, context: Context) -> Outcome:
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
    return Outcome(_measurements(data), data, _figure(weights[0], settings))


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


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
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


def _figure(g: np.ndarray, settings: Settings) -> Figure:
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


ARTEFACT = Artefact(
    name="hayou2021/lemma2",
    source=SOURCE,
    claims=(
        Claim("largest gain of a numerical maximiser", 0.0, SOURCE, 1e-6, "<="),
        Claim(
            "smallest rank correlation of p* and g below one half",
            0.0,
            f"{SOURCE}, sign of C",
            relation=">=",
        ),
        Claim(
            "largest rank correlation of p* and g above one half",
            0.0,
            f"{SOURCE}, sign of C",
            relation="<=",
        ),
        Claim(
            "largest distance of p* from 1/2 at a budget of one half",
            0.0,
            f"{SOURCE}, global maximum",
            1e-9,
        ),
    ),
    profiles={"smoke": Settings(num_blocks=10, draws=2), "cpu": Settings(), "paper": Settings()},
    run=run,
)
