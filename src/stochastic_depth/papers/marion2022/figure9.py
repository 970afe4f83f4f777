"""Figure 9: test accuracy over the plane of scaling and regularity of the initial weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev

import altair as alt
import polars as pl

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._training import Protocol, pixels, trained

SOURCE = "Marion et al. 2022, figure 9"
GRID = tuple(round(0.1 + 0.8 * k / 9, 3) for k in range(10))
RATES = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
BAND = 0.2
"""Cells this close to the critical exponent count as near it."""


@dataclass(frozen=True)
class Settings:
    """One network for each cell, learning rate and seed; a cell keeps its best rate."""

    protocols: tuple[Protocol, ...]
    grid: tuple[float, ...] = GRID
    rates: tuple[float, ...] = RATES
    seeds: int = 1


def run(settings: Settings, context: Context) -> Outcome:
    """Train every cell."""
    seeds = range(context.seed * settings.seeds, (context.seed + 1) * settings.seeds)
    cases = product(settings.protocols, settings.grid, settings.grid, settings.rates, seeds)
    rows = []
    for protocol, hurst, beta, rate, seed in context.track(list(cases), "networks"):
        network = trained(protocol, f"fractional({hurst})", beta, rate, seed)
        rows.append((protocol.data.name, hurst, beta, rate, seed, network.accuracy))
    names = ("data", "hurst", "beta", "rate", "seed", "accuracy")
    data = pl.DataFrame(rows, schema=names, schema_overrides={"accuracy": pl.Float64}, orient="row")
    diverged = int(data["accuracy"].is_null().sum())
    notes = (
        f"{diverged} of {len(data)} runs diverged; a cell all of whose runs did has no accuracy.",
        "A cell is its best learning rate by test accuracy, as in the paper: it flatters a little.",
    )
    best = _best(data)
    return Outcome(_measurements(best), data, _figure(best, settings), notes)


def _best(data: pl.DataFrame) -> pl.DataFrame:
    """Return each cell's accuracy: the best rate's mean over the seeds."""
    cell = ["data", "hurst", "beta"]
    means = data.drop_nulls("accuracy").group_by(*cell, "rate").agg(pl.col("accuracy").mean())
    best = means.group_by(cell).agg(pl.col("accuracy").max())
    return data.select(cell).unique().join(best, on=cell, how="left").sort(cell)


def _measurements(best: pl.DataFrame) -> dict[str, Measurement]:
    """Compare cells near the critical exponent with those below and above it."""
    # Rounded, so that cells on the edge of the band are in it.
    cells = best.select("hurst", "beta").rows()
    distance = [round(beta - theory.critical_exponent(hurst), 6) for hurst, beta in cells]
    regions: dict[str, list[float]] = {"below": [], "near": [], "above": []}
    for gap, accuracy in zip(distance, best["accuracy"], strict=True):
        region = "near" if abs(gap) <= BAND else ("below" if gap < 0 else "above")
        regions[region].append(accuracy or 0.0)  # a cell that diverged classifies nothing
    return {
        _name(side): _difference(regions["near"], regions[side])
        for side in ("below", "above")
        if min(len(regions["near"]), len(regions[side])) > 1
    }


def _difference(near: Sequence[float], other: Sequence[float]) -> Measurement:
    error = math.hypot(*(stdev(cells) / math.sqrt(len(cells)) for cells in (near, other)))
    return Measurement(fmean(near) - fmean(other), error, len(near) + len(other))


def _figure(best: pl.DataFrame, settings: Settings) -> Figure:
    half = (settings.grid[1] - settings.grid[0]) / 2
    cells = best.with_columns(
        left=pl.col("hurst") - half,
        right=pl.col("hurst") + half,
        low=pl.col("beta") - half,
        high=pl.col("beta") + half,
    )
    legend = alt.Legend(title="test accuracy, %", orient="right", direction="vertical", offset=12)
    axis = alt.Scale(domain=[settings.grid[0] - half, settings.grid[-1] + half], nice=False)
    chart = (
        alt.Chart(cells)
        .mark_rect(strokeWidth=0)
        .encode(
            x=alt.X("left:Q", title="Hurst exponent H of the initial weights", scale=axis),
            x2="right:Q",
            y=alt.Y("low:Q", title="exponent beta of the scaling", scale=axis),
            y2="high:Q",
            color=alt.Color("accuracy:Q", scale=alt.Scale(scheme="viridis"), legend=legend),
            row=alt.Row("data:N", title=None),
        )
    )
    protocol = settings.protocols[0]
    caption = (
        f"res-1 networks of depth {protocol.depth} and width {protocol.width} after "
        f"{protocol.epochs} epochs, best of {len(settings.rates)} learning rates, "
        f"{settings.seeds} seeds each. An empty cell diverged at every rate."
    )
    return Figure("figure9", "Accuracy after training", caption, caption, chart)


def _name(side: str) -> str:
    return f"mean accuracy near the critical exponent less that {side} it, points"


ARTEFACT = Artefact(
    name="marion2022/figure9",
    source=SOURCE,
    claims=tuple(
        Claim(_name(side), 0.0, f"{SOURCE}: both exponents matter after training", relation=">=")
        for side in ("below", "above")
    ),
    profiles={
        "smoke": Settings(
            (Protocol(pixels("digits", 100), depth=20, width=10, epochs=1),), (0.2, 0.8), (1e-2,)
        ),
        "cpu": Settings(
            (Protocol(pixels("fashion-mnist", 1000), depth=100),),
            grid=(0.1, 0.3, 0.5, 0.7, 0.9),
            rates=(1e-3, 1e-2),
            seeds=2,
        ),
        "paper": Settings(tuple(Protocol(pixels(name)) for name in ("ylecun/mnist", "cifar10"))),
    },
    run=run,
)
