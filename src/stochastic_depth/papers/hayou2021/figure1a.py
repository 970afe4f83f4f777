"""Figure 1a: the law of the depth of the subnetwork, uniform and linear at equal budget."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from ... import budgets, gates
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import by_mode
from ._modes import LINEAR, UNIFORM, law

SOURCE = "Hayou & Ayed 2021, figure 1a"
FOLLOWS = "sum of p_l (1 - p_l) at L = 100 and budget 0.5"


@dataclass(frozen=True)
class Settings:
    """L, L_bar/L and the number of drawn masks."""

    num_blocks: int = 100
    budget: float = 0.5
    draws: int = 100_000


def run(settings: Settings, context: Context) -> Outcome:
    """Compute the law exactly, and draw from it."""
    measurements: dict[str, Measurement] = {}
    tables = []
    for step, mode in enumerate((UNIFORM, LINEAR)):
        bernoulli = law(mode, settings.num_blocks, settings.budget)
        masks = bernoulli.sample(settings.draws, generator=gates.stream(context.seed, step))
        depths = masks.sum(0).double()
        exact = budgets.depth_distribution(bernoulli.survival)
        drawn = depths.round().long().bincount(minlength=len(exact)) / settings.draws
        tables.append(_table(mode, exact.tolist(), drawn.tolist()))
        measurements |= {
            f"{mode}: mean depth": _mean(depths),
            f"{mode}: variance of the depth": _mean((depths - depths.mean()).square()),
        }
    data = pl.concat(tables)
    return Outcome(measurements, data, _figure(data, settings))


def _mean(values) -> Measurement:  # type: ignore[no-untyped-def]
    return Measurement(float(values.mean()), float(values.std()) / len(values) ** 0.5, len(values))


def _table(mode: str, exact: list[float], drawn: list[float]) -> pl.DataFrame:
    depths = list(range(len(exact)))
    return pl.DataFrame(
        {"mode": [mode] * len(exact), "depth": depths, "exact": exact, "drawn": drawn}
    )


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
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


ARTEFACT = Artefact(
    name="hayou2021/figure1a",
    source=SOURCE,
    claims=(
        Claim("uniform: mean depth", 50.0, f"{SOURCE}, budget 0.5", 0.1),
        Claim("linear: mean depth", 50.0, f"{SOURCE}, budget 0.5", 0.1),
        Claim("uniform: variance of the depth", 25.0, FOLLOWS, 0.5),
        Claim("linear: variance of the depth", 16.83, FOLLOWS, 0.5),
    ),
    profiles={"smoke": Settings(draws=1000), "cpu": Settings(), "paper": Settings()},
    run=run,
)
