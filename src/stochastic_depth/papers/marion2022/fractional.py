"""Fractional weights: their paths, and explosion and identity over scaling and regularity."""

import time
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
import torch

from ... import theory
from ...gates import stream
from ...models import weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._initial_networks import Networks, change_by_beta, crossing

FIGURE6 = "Marion et al. 2022, figure 6"
HURST_OF_PATHS = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Paths:
    """One path is drawn for each exponent; `paths` of them are measured."""

    length: int = 1000
    paths: int = 5000


def draw_paths(settings: Paths, context: Context) -> Outcome:
    """Draw increments, measure their regularity and sum one path of each."""
    measurements: dict[str, Measurement] = {}
    tables = []
    for index, hurst in enumerate(context.track(HURST_OF_PATHS, "paths")):
        generator = stream(context.seed, index)
        noise = weights.fractional(hurst).sample(
            settings.length, (settings.paths,), generator=generator
        )
        exponent = theory.hurst_exponent(noise)
        ends = noise.double().sum(0).square() / settings.length ** (2 * hurst)
        measurements |= {
            _regularity(hurst): Measurement(
                exponent.value, exponent.standard_error, settings.paths
            ),
            _variance(hurst): Measurement.of(ends),
        }
        tables.append(_path(noise[:, 0], hurst))
    data = pl.concat(tables)
    return Outcome(measurements, data, _paths_figure(data, settings))


def _path(noise: torch.Tensor, hurst: float) -> pl.DataFrame:
    """Return B_H(k/N) for k = 0..N: the sums of the increments over N^H."""
    path = torch.cat([torch.zeros(1), noise.cumsum(0)]) / len(noise) ** hurst
    time = torch.linspace(0, 1, len(path))
    return pl.DataFrame({"time": time.tolist(), "value": path.tolist()}).with_columns(
        hurst=pl.lit(f"H = {hurst:g}")
    )


def _paths_figure(data: pl.DataFrame, settings: Paths) -> Figure:
    order = alt.Scale(domain=["", *(f"H = {hurst:g}" for hurst in HURST_OF_PATHS)])
    key = alt.Legend(symbolType="stroke", values=[f"H = {hurst:g}" for hurst in HURST_OF_PATHS])
    chart = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.2)
        .encode(
            x=alt.X("time:Q", title="layer l / L"),
            y=alt.Y("value:Q", title="sum of the weights up to layer l, over L^H"),
            color=alt.Color("hurst:N", scale=order, legend=key),
        )
    )
    caption = (
        f"One path of fractional Brownian motion for each H, {settings.length} steps, drawn "
        "exactly by circulant embedding. Its increments are the weights of one entry over depth."
    )
    return Figure("figure6", "Fractional Brownian motion", caption, caption, chart)


def _regularity(hurst: float) -> str:
    return f"Hurst exponent of the increments at H = {hurst:g}"


def _variance(hurst: float) -> str:
    return f"variance of the path at 1 at H = {hurst:g}"


figure6 = Artefact(
    name="marion2022/figure6",
    source=FIGURE6,
    claims=(
        *(Claim(_regularity(h), h, "definition of H", tolerance=0.02) for h in HURST_OF_PATHS),
        *(Claim(_variance(h), 1.0, "definition of B_H", tolerance=0.1) for h in HURST_OF_PATHS),
    ),
    profiles={"smoke": Paths(length=64, paths=20), "cpu": Paths(), "paper": Paths()},
    run=draw_paths,
)
"""Figure 6: paths of fractional Brownian motion, whose increments are the weights."""


FIGURE7 = "Marion et al. 2022, figure 7"
DISTANCE = "mean distance of the frontier from max(1/2, H)"
LARGEST = "largest distance of the frontier from max(1/2, H)"
SPEED = "times faster than one cell and draw at a time"

PAPER = Networks()
SMALL = Networks(depth=50, width=10, draws=2, inputs=2)


@dataclass(frozen=True)
class Grid:
    """A grid of exponents and the networks drawn for each cell."""

    betas: int = 70
    hursts: int = 51
    networks: Networks = PAPER
    loop_cells: int = 6

    @property
    def beta_grid(self) -> list[float]:
        """Exponents of the scaling."""
        return np.linspace(0.0, 1.3, self.betas).tolist()

    @property
    def hurst_grid(self) -> list[float]:
        """Exponents of the weights."""
        return np.linspace(0.05, 0.97, self.hursts).tolist()


def map_plane(settings: Grid, context: Context) -> Outcome:
    """Measure the map, its frontier, and the time of a part of it cell by cell."""
    start, tables, frontier = time.process_time(), [], []
    columns = list(enumerate(settings.hurst_grid))
    for index, hurst in context.track(columns, "columns of the map"):
        seed = context.seed * len(columns) + index
        process = weights.fractional(hurst)
        change = change_by_beta(process, settings.beta_grid, settings.networks, seed)
        tables.append(_column(settings, hurst, change))
        frontier.append(crossing(settings.beta_grid, change.log10.mean((0, 2)).tolist()))
    seconds = time.process_time() - start
    data, slow = pl.concat(tables), _seconds_of_the_loop(settings, context.seed)
    measurements = _distances(settings, frontier) | {SPEED: Measurement(slow / seconds)}
    notes = (
        f"The map took {seconds:.1f} s of processor time on one thread; one cell and draw at a "
        f"time, extrapolated from {settings.loop_cells} cells, {slow:.0f} s.",
        "All beta of a column are run on the same weights and inputs; columns are independent.",
        f"{int((data['overflow_layer'] > 0).sum())} of {len(data)} cells overflowed: explosion.",
    )
    return Outcome(measurements, data, _map_figure(data, frontier, settings), notes)


def _column(settings: Grid, hurst: float, change: theory.RelativeChange) -> pl.DataFrame:
    overflow = [layers[layers > 0] for layers in change.overflow.transpose(0, 1)]
    columns = {
        "beta": settings.beta_grid,
        "log10_change": change.log10.mean((0, 2)).tolist(),
        "overflow_layer": [int(layers.min()) if len(layers) else 0 for layers in overflow],
    }
    return pl.DataFrame(columns).with_columns(hurst=pl.lit(hurst))


def _seconds_of_the_loop(settings: Grid, seed: int) -> float:
    """Return the processor time of the map one cell and draw at a time, from some cells."""
    one = Networks(settings.networks.depth, settings.networks.width, 1, settings.networks.inputs)
    betas, hursts = settings.beta_grid, settings.hurst_grid
    start = time.process_time()
    for cell in range(settings.loop_cells):
        process = weights.fractional(hursts[cell % len(hursts)])
        for draw in range(settings.networks.draws):
            change_by_beta(process, [betas[cell % len(betas)]], one, seed + draw)
    seconds = time.process_time() - start
    return seconds * len(betas) * len(hursts) / settings.loop_cells


def _distances(settings: Grid, frontier: list[float | None]) -> dict[str, Measurement]:
    distances = [
        abs(beta - theory.critical_exponent(hurst))
        for hurst, beta in zip(settings.hurst_grid, frontier, strict=True)
        if beta is not None
    ]
    if len(distances) < len(frontier):  # a frontier that leaves the map is not measured
        return {}
    return {
        DISTANCE: Measurement(float(np.mean(distances))),
        LARGEST: Measurement(max(distances)),
    }


def _map_figure(data: pl.DataFrame, frontier: list[float | None], settings: Grid) -> Figure:
    # A little more than half a cell: cells overlap, and no ground shines through.
    half = (1.3 / (settings.betas - 1) * 0.55, 0.92 / (settings.hursts - 1) * 0.55)
    cells = data.with_columns(
        log10_change=pl.col("log10_change").clip(-1, 1).round(3),
        left=pl.col("hurst") - half[1],
        right=pl.col("hurst") + half[1],
        low=pl.col("beta") - half[0],
        high=pl.col("beta") + half[0],
    )
    scale = alt.Scale(scheme="blueorange", domain=[-1, 1])
    legend = alt.Legend(
        title="log10 of the change", orient="right", direction="vertical", offset=12
    )
    x = alt.X(
        "left:Q",
        title="Hurst exponent H of the weights",
        scale=alt.Scale(domain=[0.04, 0.98], nice=False),
    )
    y = alt.Y(
        "low:Q",
        title="exponent beta of the scaling",
        scale=alt.Scale(domain=[-0.01, 1.31], nice=False),
    )
    heat = (
        alt.Chart(cells)
        .mark_rect(strokeWidth=0)
        .encode(
            x=x,
            x2="right:Q",
            y=y,
            y2="high:Q",
            color=alt.Color("log10_change:Q", scale=scale, legend=legend),
        )
    )
    caption = (
        f"Mean of log10 ||h_L - h_0||/||h_0|| over {settings.networks.draws} draws and "
        f"{settings.networks.inputs} inputs, width {settings.networks.width}, depth "
        f"{settings.networks.depth}; colours end at -1 and 1. Line: measured frontier, where the "
        "mean is 0. Dashed: max(1/2, H)."
    )
    chart = heat + _lines(frontier, settings)
    return Figure("figure7", "Explosion and identity", caption, caption, chart)


def _lines(frontier: list[float | None], settings: Grid) -> alt.LayerChart:
    expected = [theory.critical_exponent(hurst) for hurst in settings.hurst_grid]
    columns = {"hurst": settings.hurst_grid, "measured": frontier, "expected": expected}
    base = alt.Chart(pl.DataFrame(columns, schema_overrides={"measured": pl.Float64}))
    measured = base.mark_line(color="#1f2328").encode(x="hurst:Q", y="measured:Q")
    dashed = base.mark_line(color="#1f2328", strokeDash=[6, 4]).encode(x="hurst:Q", y="expected:Q")
    return measured + dashed


figure7 = Artefact(
    name="marion2022/figure7",
    source=FIGURE7,
    claims=(
        Claim(DISTANCE, 0.1, "frontier max(1/2, H), derived; L is finite", relation="<="),
        Claim(LARGEST, 0.2, "frontier max(1/2, H), derived; L is finite", relation="<="),
        Claim(SPEED, 20.0, "what this implementation aims at", relation=">="),
    ),
    profiles={
        "smoke": Grid(betas=6, hursts=4, networks=SMALL, loop_cells=1),
        "cpu": Grid(),
        "paper": Grid(),
    },
    run=map_plane,
)
"""Figure 7: explosion and identity over the plane of scaling and regularity of the weights."""
