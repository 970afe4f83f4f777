"""Lemma 1: the depth of the subnetwork concentrates, the least under uniform survival."""

from dataclasses import dataclass

import altair as alt
import polars as pl
from torch import Tensor

from ... import budgets
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import by_mode
from ._modes import LINEAR, UNIFORM, law

SOURCE = "Hayou & Ayed 2021, Lemma 1"
SHARES = tuple(round(0.05 * k, 2) for k in range(10, 20))  # linear decay begins at one half


@dataclass(frozen=True)
class Settings:
    """L, and the probability beta of leaving the interval."""

    num_blocks: int = 100
    beta: float = 0.05


def run(settings: Settings, context: Context) -> Outcome:
    """Compute the bound, and the exact probability of staying within, over all budgets."""
    del context  # nothing is drawn
    rows = []
    for share in SHARES:
        for mode in (UNIFORM, LINEAR):
            p = law(mode, settings.num_blocks, share).survival
            width = budgets.depth_interval(p, settings.beta)
            rows.append((share, mode, budgets.depth_variance(p), width, _coverage(p, width)))
    columns = ["budget", "mode", "variance", "half_width", "coverage"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_measurements(data), data, _figure(data, settings))


def _coverage(p: Tensor, width: float) -> float:
    """Return the exact P(|L_delta - E L_delta| <= width)."""
    law = budgets.depth_distribution(p)
    distance = (law.new_tensor(range(len(law))) - budgets.expected_depth(p)).abs()
    return float(law[distance <= width].sum())


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
    uniform, linear = (data.filter(mode=mode)["half_width"] for mode in (UNIFORM, LINEAR))
    return {
        "smallest coverage": Measurement(min(data["coverage"].to_list())),
        "smallest excess of the uniform bound": Measurement(min((uniform - linear).to_list())),
    }


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
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


ARTEFACT = Artefact(
    name="hayou2021/lemma1",
    source=SOURCE,
    claims=(
        Claim("smallest coverage", 0.95, f"{SOURCE}, beta = 0.05", relation=">="),
        Claim("smallest excess of the uniform bound", 0.0, f"{SOURCE}, maximality", relation=">="),
    ),
    profiles={"smoke": Settings(num_blocks=20), "cpu": Settings(), "paper": Settings()},
    run=run,
)
