"""Stochastic depth rescales the noise of the limit and leaves the critical exponent."""

import math
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
import torch

from ... import theory
from ...models import depth_scale, scaled_states, weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._initial_networks import Networks, change_by_beta, crossing, draw_ends
from .critical_exponent import Sizes, Survival, critical_beta, first_order_exponent, masks

SOURCE = "after Marion et al. 2022, with the masks of Huang et al. 2016"
SURVIVALS = (None, Survival(0.5, "test"), Survival(0.5, "train"))
HURST = (0.3, 0.7, 0.9)
BETAS = np.arange(0.3, 1.151, 0.05).tolist()
CHUNK = 50
PAPER_MAP = Networks()
PAPER_SIZES = Sizes()


@dataclass(frozen=True)
class Settings:
    """Networks for the growth at beta = 1/2, for the maps and for the critical exponents."""

    draws: int = 1000
    hursts: int = 24
    networks: Networks = PAPER_MAP
    sizes: Sizes = PAPER_SIZES


def run(settings: Settings, context: Context) -> Outcome:
    """Measure growth, frontier and critical exponent with and without masks."""
    measurements, tables = {}, []
    for survival in context.track(SURVIVALS, "laws of the gates"):
        measurements[_growth(survival)] = _mean_square(survival, settings, context.seed)
        tables.append(_frontier(survival, settings, context.seed))
        for hurst in HURST if survival else ():
            found = critical_beta(hurst, BETAS, settings.sizes, context.seed, survival)
            if found is not None:
                n = settings.sizes.draws * len(settings.sizes.depths)
                name = _critical(survival, hurst)
                measurements[name] = Measurement(found.value, found.standard_error, n)
                excess = found.value - first_order_exponent(hurst, settings.sizes, survival)
                name = _excess(survival, hurst)
                measurements[name] = Measurement(excess, found.standard_error, n)
    data = pl.concat(tables)
    return Outcome(measurements, data, _figure(data, settings))


@torch.no_grad()
def _mean_square(survival: Survival | None, settings: Settings, seed: int) -> Measurement:
    """Return the mean square change of networks with independent weights at beta = 1/2."""
    depth, width = settings.networks.depth, settings.networks.width
    squares = []
    for chunk in range(settings.draws // CHUNK):
        number = seed * (settings.draws // CHUNK) + chunk
        layers = weights.Streamed(weights.uniform(), depth, width, CHUNK, seed=number)
        hidden = draw_ends(CHUNK, width, seed=number).hidden
        drawn = masks(survival, depth, CHUNK, number)
        states = scaled_states(hidden, layers, depth_scale(0.5, depth), drawn)
        squares.append(theory.relative_change(states).ratio.flatten() ** 2)
    return Measurement.of(torch.cat(squares))


def _frontier(survival: Survival | None, settings: Settings, seed: int) -> pl.DataFrame:
    """Return where the mean of log10 of the change is 0, at each H."""
    hursts, betas = np.linspace(0.05, 0.97, settings.hursts), np.linspace(0.0, 1.3, 70).tolist()
    networks, rows = settings.networks, []
    for index, hurst in enumerate(hursts.tolist()):
        number = seed * len(hursts) + index
        drawn = masks(survival, networks.depth, networks.draws, number)
        change = change_by_beta(weights.fractional(hurst), betas, networks, number, drawn)
        rows.append((hurst, crossing(betas, change.log10.mean((0, 2)).tolist())))
    schema = {"hurst": pl.Float64, "beta": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        gates=pl.lit(_label(survival))
    )


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    labels = ["max(1/2, H)", *map(_label, SURVIVALS)]
    expected = pl.DataFrame({"hurst": [0.05, 0.5, 0.97], "beta": [0.5, 0.5, 0.97]})
    colour = alt.Color(
        "gates:N", scale=alt.Scale(domain=labels), legend=alt.Legend(symbolType="stroke")
    )
    axes = {
        "x": alt.X("hurst:Q", title="Hurst exponent H of the weights"),
        "y": alt.Y("beta:Q", title="frontier beta", scale=alt.Scale(zero=False)),
        "color": colour,
    }
    reference = expected.with_columns(gates=pl.lit(labels[0]))
    dashed = alt.Chart(reference).mark_line(strokeDash=[5, 4]).encode(**axes)
    lines = alt.Chart(data).mark_line().encode(**axes)
    networks = settings.networks
    caption = (
        f"Where the mean of log10 ||h_L - h_0||/||h_0|| is 0, over {networks.draws} draws and "
        f"{networks.inputs} inputs, width {networks.width}, depth {networks.depth}: as figure 7, "
        "with an independent draw of the gates for each network. At finite depth masks shift the "
        "frontier by a constant over log L."
    )
    return Figure("stochastic_depth", "The frontier under masks", caption, caption, dashed + lines)


def _label(survival: Survival | None) -> str:
    return "no masks" if survival is None else str(survival)


def _growth(survival: Survival | None) -> str:
    return f"mean squared change at beta = 1/2, {_label(survival)}"


def _critical(survival: Survival | None, hurst: float) -> str:
    return f"critical exponent at H = {hurst:g}, {_label(survival)}"


def _excess(survival: Survival | None, hurst: float) -> str:
    return f"the same less its value to first order, H = {hurst:g}, {_label(survival)}"


def _claims() -> tuple[Claim, ...]:
    growth = (
        Claim(_growth(survival), math.exp(q / 2) - 1, "limit e^(E d^2/2) - 1, derived", tolerance=t)
        for survival, q, t in zip(SURVIVALS, (1.0, 0.5, 2.0), (0.03, 0.03, 0.15), strict=True)
    )
    critical = (
        Claim(
            _critical(survival, h),
            theory.critical_exponent(h),
            "max(1/2, H) with or without masks, derived",
            tolerance=0.05,
        )
        for survival in SURVIVALS[1:]
        for h in HURST
    )
    finite = (
        Claim(_excess(survival, h), 0.0, "first-order closed form, derived", tolerance=0.05)
        for survival in SURVIVALS[1:]
        for h in HURST
    )
    return (*growth, *critical, *finite)


stochastic_depth = Artefact(
    name="marion2022/stochastic_depth",
    source=SOURCE,
    claims=_claims(),
    profiles={
        "smoke": Settings(50, 3, Networks(30, 8, 2, 2), Sizes((20, 80), 8, 4, 2)),
        "cpu": Settings(draws=500, hursts=12, sizes=Sizes((100, 400, 1600))),
        "paper": Settings(),
    },
    run=run,
)
"""Stochastic depth rescales the noise of the limit and leaves the critical exponent."""
