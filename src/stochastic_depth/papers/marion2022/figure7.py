"""Figure 7: explosion and identity over the plane of scaling and regularity of the weights."""

import time
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl

from ... import theory
from ...models import weights
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._map import Networks, change_by_beta, crossing

SOURCE = "Marion et al. 2022, figure 7"
DISTANCE = "mean distance of the frontier from max(1/2, H)"
LARGEST = "largest distance of the frontier from max(1/2, H)"
SPEED = "times faster than one cell and draw at a time"

PAPER = Networks()
SMALL = Networks(depth=50, width=10, draws=2, inputs=2)


@dataclass(frozen=True)
class Settings:
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


def run(settings: Settings, context: Context) -> Outcome:
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
    return Outcome(measurements, data, _figure(data, frontier, settings), notes)


def _column(settings: Settings, hurst: float, change: theory.RelativeChange) -> pl.DataFrame:
    overflow = [layers[layers > 0] for layers in change.overflow.transpose(0, 1)]
    columns = {
        "beta": settings.beta_grid,
        "log10_change": change.log10.mean((0, 2)).tolist(),
        "overflow_layer": [int(layers.min()) if len(layers) else 0 for layers in overflow],
    }
    return pl.DataFrame(columns).with_columns(hurst=pl.lit(hurst))


def _seconds_of_the_loop(settings: Settings, seed: int) -> float:
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


def _distances(settings: Settings, frontier: list[float | None]) -> dict[str, Measurement]:
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


def _figure(data: pl.DataFrame, frontier: list[float | None], settings: Settings) -> Figure:
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


def _lines(frontier: list[float | None], settings: Settings) -> alt.LayerChart:
    expected = [theory.critical_exponent(hurst) for hurst in settings.hurst_grid]
    columns = {"hurst": settings.hurst_grid, "measured": frontier, "expected": expected}
    base = alt.Chart(pl.DataFrame(columns, schema_overrides={"measured": pl.Float64}))
    measured = base.mark_line(color="#1f2328").encode(x="hurst:Q", y="measured:Q")
    dashed = base.mark_line(color="#1f2328", strokeDash=[6, 4]).encode(x="hurst:Q", y="expected:Q")
    return measured + dashed


ARTEFACT = Artefact(
    name="marion2022/figure7",
    source=SOURCE,
    claims=(
        Claim(DISTANCE, 0.1, "frontier max(1/2, H), derived; L is finite", relation="<="),
        Claim(LARGEST, 0.2, "frontier max(1/2, H), derived; L is finite", relation="<="),
        Claim(SPEED, 20.0, "what this implementation aims at", relation=">="),
    ),
    profiles={
        "smoke": Settings(betas=6, hursts=4, networks=SMALL, loop_cells=1),
        "cpu": Settings(),
        "paper": Settings(),
    },
    run=run,
)
