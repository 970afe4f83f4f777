"""Figure 2: the laws of the norm ratios at beta = 1/2 do not degenerate with depth."""

import math
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
from scipy import stats
from torch import Tensor
from torch.distributions import LogNormal

from ... import theory
from ...models import depth_scale, weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._initial_networks import draw_ends, states_and_gradients

SOURCE = "Marion et al. 2022, figure 2"
QUANTITIES = ("hidden states", "gradients")
CHUNK = 50  # networks at a time: the weights of one layer should stay in the cache


@dataclass(frozen=True)
class Settings:
    """Draws of res-3 networks with independent uniform weights."""

    draws: int = 10_000
    depth: int = 1000
    width: int = 100


def run(settings: Settings, context: Context) -> Outcome:
    """Draw networks and compare the laws of both ratios with the log-normal limit."""
    tables = []
    chunks = range(math.ceil(settings.draws / CHUNK))
    for chunk in context.track(chunks, f"{settings.draws} networks of depth {settings.depth}"):
        seed = context.seed * len(chunks) + chunk
        tables.append(_ratios(settings, min(CHUNK, settings.draws - chunk * CHUNK), seed))
    data = pl.concat(tables)
    return Outcome(_measurements(data, settings), data, _figure(data, settings))


def _ratios(settings: Settings, networks: int, seed: int) -> pl.DataFrame:
    """Return the squared norm ratios and relative changes of some networks."""
    layers = weights.Streamed(
        weights.uniform(), settings.depth, settings.width, networks, seed=seed
    )
    ends = draw_ends(networks, settings.width, seed=seed)
    states, gradients = states_and_gradients(ends, layers, depth_scale(0.5, settings.depth))
    upward = list(gradients)
    return pl.concat(
        [
            _row(QUANTITIES[0], states[0], states[-1]),
            _row(QUANTITIES[1], upward[0], upward[-1]),
        ]
    )


def _row(quantity: str, first: Tensor, last: Tensor) -> pl.DataFrame:
    size = first.detach().square().sum(-1).flatten()
    norm = last.detach().square().sum(-1).flatten() / size
    change = (last - first).detach().square().sum(-1).flatten() / size
    columns = {"squared_norm": norm.tolist(), "squared_change": change.tolist()}
    return pl.DataFrame(columns).with_columns(quantity=pl.lit(quantity))


def _measurements(data: pl.DataFrame, settings: Settings) -> dict[str, Measurement]:
    measured = {}
    log_norm = theory.limit_law(settings.width).base_dist
    normal = stats.norm(float(log_norm.mean), float(log_norm.stddev))
    for quantity in QUANTITIES:
        rows = data.filter(quantity=quantity)
        change = rows["squared_change"].to_numpy()
        measured[f"mean squared change, {quantity}"] = Measurement.of(change)
        distance = stats.kstest(np.log(rows["squared_norm"].to_numpy()), normal.cdf).statistic
        # Under the limit law itself the distance is about 0.87 / sqrt(n), with a standard
        # deviation of 0.26 / sqrt(n) (the Kolmogorov law).
        measured[f"distance to the limit law, {quantity}"] = Measurement(
            float(distance), 0.26 / math.sqrt(len(change)), len(change)
        )
    return measured


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    law = theory.limit_law(settings.width)
    low, high = (float(law.icdf(law.mean.new_tensor(share))) for share in (0.0005, 0.9995))
    edges = np.linspace(low, high, 61)
    curves = {"limit law": _exact_density(law, edges)}
    curves |= {quantity: _density(data, quantity, edges) for quantity in QUANTITIES}
    table = pl.concat(
        pl.DataFrame({"ratio": (edges[1:] + edges[:-1]) / 2, "density": density}).with_columns(
            curve=pl.lit(name)
        )
        for name, density in curves.items()
    )
    names = alt.Scale(domain=list(curves))
    key = alt.Legend(symbolType="stroke", symbolOpacity=1)
    chart = (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X("ratio:Q", title="squared norm ratio", scale=alt.Scale(zero=False)),
            y=alt.Y("density:Q", title="density"),
            color=alt.Color("curve:N", scale=names, legend=key),
            strokeDash=alt.StrokeDash(
                "curve:N",
                scale=alt.Scale(domain=list(curves), range=[[6, 3], [1, 0], [1, 0]]),
                legend=key,
            ),
        )
    )
    caption = (
        f"||h_L||^2/||h_0||^2 and ||p_0||^2/||p_L||^2 over {settings.draws:,} res-3 networks of "
        f"width {settings.width} and depth {settings.depth}, a = 1/sqrt(L), in bins of "
        f"{edges[1] - edges[0]:.3f}. Dashed: the log-normal law of the limit, in closed form."
    )
    return Figure("figure2", "Norm ratios at beta = 1/2", caption, caption, chart)


def _exact_density(law: LogNormal, edges: np.ndarray) -> np.ndarray:
    """Return the average density of the limit law in each bin."""
    distribution = law.cdf(law.mean.new_tensor(edges)).numpy()
    return np.diff(distribution) / np.diff(edges)


def _density(data: pl.DataFrame, quantity: str, edges: np.ndarray) -> np.ndarray:
    values = data.filter(quantity=quantity)["squared_norm"].to_numpy()
    counts, _ = np.histogram(values, edges)
    return counts / len(values) / np.diff(edges)


def _claims() -> tuple[Claim, ...]:
    limit = math.exp(0.5) - 1
    means = (
        Claim(f"mean squared change, {q}", limit, "limit e^(1/2) - 1, derived", tolerance=0.02)
        for q in QUANTITIES
    )
    distances = (
        Claim(f"distance to the limit law, {q}", 0.03, "log-normal limit, derived", relation="<=")
        for q in QUANTITIES
    )
    return (*means, *distances)


figure2 = Artefact(
    name="marion2022/figure2",
    source=SOURCE,
    claims=_claims(),
    profiles={
        "smoke": Settings(draws=20, depth=30, width=20),
        "cpu": Settings(draws=2000, depth=300, width=50),
        "paper": Settings(),
    },
    run=run,
)
"""Figure 2: the laws of the norm ratios at beta = 1/2 do not degenerate with depth."""
