"""Figures 8 and 9: weights and accuracy after training, by regularity of the initial weights.

One seed is one draw of everything, of the images too where they are limited. The committed
results were measured before that was so: their seeds drew the initial weights, the gates and
the order of batches, and shared the images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean, stdev

import altair as alt
import polars as pl
from torch import Tensor

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._trained import Protocol, Trained, pixels, trained

FIGURE8 = "Marion et al. 2022, figure 8"
CELLS = (("smooth(0.1)", 1.0), ("uniform", 1.0), ("uniform", 0.5))
DEPTHS = {"constant depth": None, "stochastic depth": 0.5}
EXPECTED = {"smooth(0.1)": (1.0, 0.2), "uniform": (0.0, 0.2)}
"""Hoelder exponents of the initial weights, and how close to them counts as kept."""


@dataclass(frozen=True)
class Cells:
    """One network for each cell, kind of depth and seed."""

    protocol: Protocol
    rate: float = 1e-3
    seeds: int = 2


@dataclass(frozen=True)
class Run:
    """A trained network and where it belongs."""

    init: str
    beta: float
    kind: str
    seed: int
    network: Trained


def train_cells(settings: Cells, context: Context) -> Outcome:
    """Train, and measure the regularity of the weights before and after."""
    cases = [
        (init, beta, kind, context.seed * settings.seeds + seed)
        for init, beta in CELLS
        for kind in DEPTHS
        for seed in range(settings.seeds)
    ]
    runs = []
    for init, beta, kind, seed in context.track(cases, "networks"):
        protocol = replace(settings.protocol, survival=DEPTHS[kind])
        network = trained(protocol, init, beta, settings.rate, seed)
        runs.append(Run(init, beta, kind, seed, network))
    data = pl.DataFrame(list(_rows(runs)), infer_schema_length=None)
    return Outcome(_exponents(runs), data, _weights_figure(runs, settings), _notes(runs))


def _rows(runs: list[Run]) -> Iterator[dict[str, object]]:
    for each in runs:
        for time, weights in _times(each.network).items():
            yield {
                "init": each.init,
                "beta": each.beta,
                "kind": each.kind,
                "seed": each.seed,
                "time": time,
                "hoelder": theory.holder_exponent(weights).value,
                "hurst": theory.hurst_exponent(weights).value,
                "variation": theory.total_variation(weights),
                "accuracy": each.network.accuracy,
            }


def _times(network: Trained) -> dict[str, Tensor]:
    times = {"before": network.before, "after": network.after}
    return {time: weights for time, weights in times.items() if weights is not None}


def _exponents(runs: list[Run]) -> dict[str, Measurement]:
    measured = {}
    for init, beta in CELLS:
        for kind in DEPTHS:
            values = [
                theory.holder_exponent(each.network.after).value
                for each in runs
                if (each.init, each.beta, each.kind) == (init, beta, kind)
                and each.network.after is not None
            ]
            if len(values) > 1:
                measured[_exponent_after(init, beta, kind)] = Measurement.of(values)
    return measured


def _notes(runs: list[Run]) -> tuple[str, ...]:
    diverged = [each for each in runs if each.network.after is None]
    accuracies = [
        f"{init}, beta = {beta:g}, {kind}: {fmean(found):.1f} %"
        for init, beta in CELLS
        for kind in DEPTHS
        for found in [
            [
                each.network.accuracy
                for each in runs
                if (each.init, each.beta, each.kind) == (init, beta, kind)
                and each.network.accuracy is not None
            ]
        ]
        if found
    ]
    return (
        f"{len(diverged)} of {len(runs)} runs diverged.",
        f"Test accuracy: {'; '.join(accuracies)}.",
    )


def _weights_figure(runs: list[Run], settings: Cells) -> Figure:
    tables = [
        pl.DataFrame({"weight": weights[:, 1, 2].tolist()})
        .with_row_index("layer", offset=1)
        .with_columns(time=pl.lit(time), cell=pl.lit(f"{each.init}, beta = {each.beta:g}"))
        for each in runs
        if each.seed == runs[0].seed and DEPTHS[each.kind] is None
        for time, weights in _times(each.network).items()
    ]
    key = alt.Legend(symbolType="stroke", symbolOpacity=1)
    chart = (
        alt.Chart(pl.concat(tables))
        .mark_line(strokeWidth=1.2)
        .encode(
            x=alt.X("layer:Q", title="layer"),
            y=alt.Y("weight:Q", title=None),  # the header of the row stands there
            color=alt.Color("time:N", scale=alt.Scale(domain=["before", "after"]), legend=key),
            row=alt.Row(
                "cell:N", title=None, header=alt.Header(labelOrient="top", labelAnchor="start")
            ),
        )
    )
    protocol = settings.protocol
    caption = (
        f"res-1 networks of depth {protocol.depth} and width {protocol.width}, "
        f"{protocol.epochs} epochs on {protocol.data.name} at constant depth, before and after "
        "training, one entry of V_l over the layers l."
    )
    return Figure("figure8", "A weight over depth", caption, caption, chart)


def _exponent_after(init: str, beta: float, kind: str) -> str:
    return f"Hoelder exponent after training, {init}, beta = {beta:g}, {kind}"


figure8 = Artefact(
    name="marion2022/figure8",
    source=FIGURE8,
    claims=tuple(
        Claim(
            _exponent_after(init, beta, kind),
            EXPECTED[init][0],
            f"{FIGURE8}: training keeps the regularity of the initial weights",
            tolerance=EXPECTED[init][1],
        )
        for init, beta in CELLS
        for kind in DEPTHS
    ),
    profiles={
        "smoke": Cells(Protocol(pixels("digits", 200), depth=20, width=10, epochs=1), seeds=1),
        "cpu": Cells(Protocol(pixels("fashion-mnist", 2000), depth=500)),
        "paper": Cells(
            Protocol(pixels("ylecun/mnist"), epochs=300, decay_every=1000), rate=0.01, seeds=1
        ),
    },
    run=train_cells,
)
"""Figure 8: one weight over depth, before and after training."""


FIGURE9 = "Marion et al. 2022, figure 9"
GRID = tuple(round(0.1 + 0.8 * k / 9, 3) for k in range(10))
RATES = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
BAND = 0.2
"""Cells this close to the critical exponent count as near it."""


@dataclass(frozen=True)
class Plane:
    """One network for each cell, learning rate and seed; a cell keeps its best rate."""

    protocols: tuple[Protocol, ...]
    grid: tuple[float, ...] = GRID
    rates: tuple[float, ...] = RATES
    seeds: int = 1


def train_plane(settings: Plane, context: Context) -> Outcome:
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
    return Outcome(_differences(best), data, _plane_figure(best, settings), notes)


def _best(data: pl.DataFrame) -> pl.DataFrame:
    """Return each cell's accuracy: the best rate's mean over the seeds."""
    cell = ["data", "hurst", "beta"]
    means = data.drop_nulls("accuracy").group_by(*cell, "rate").agg(pl.col("accuracy").mean())
    best = means.group_by(cell).agg(pl.col("accuracy").max())
    return data.select(cell).unique().join(best, on=cell, how="left").sort(cell)


def _differences(best: pl.DataFrame) -> dict[str, Measurement]:
    """Compare cells near the critical exponent with those below and above it."""
    # Rounded, so that cells on the edge of the band are in it.
    cells = best.select("hurst", "beta").rows()
    distance = [round(beta - theory.critical_exponent(hurst), 6) for hurst, beta in cells]
    regions: dict[str, list[float]] = {"below": [], "near": [], "above": []}
    for gap, accuracy in zip(distance, best["accuracy"], strict=True):
        region = "near" if abs(gap) <= BAND else ("below" if gap < 0 else "above")
        regions[region].append(accuracy or 0.0)  # a cell that diverged classifies nothing
    return {
        _difference_to(side): _difference(regions["near"], regions[side])
        for side in ("below", "above")
        if min(len(regions["near"]), len(regions[side])) > 1
    }


def _difference(near: Sequence[float], other: Sequence[float]) -> Measurement:
    error = math.hypot(*(stdev(cells) / math.sqrt(len(cells)) for cells in (near, other)))
    return Measurement(fmean(near) - fmean(other), error, len(near) + len(other))


def _plane_figure(best: pl.DataFrame, settings: Plane) -> Figure:
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


def _difference_to(side: str) -> str:
    return f"mean accuracy near the critical exponent less that {side} it, points"


figure9 = Artefact(
    name="marion2022/figure9",
    source=FIGURE9,
    claims=tuple(
        Claim(
            _difference_to(side),
            0.0,
            f"{FIGURE9}: both exponents matter after training",
            relation=">=",
        )
        for side in ("below", "above")
    ),
    profiles={
        "smoke": Plane(
            (Protocol(pixels("digits", 100), depth=20, width=10, epochs=1),), (0.2, 0.8), (1e-2,)
        ),
        "cpu": Plane(
            (Protocol(pixels("fashion-mnist", 1000), depth=100),),
            grid=(0.1, 0.3, 0.5, 0.7, 0.9),
            rates=(1e-3, 1e-2),
            seeds=2,
        ),
        "paper": Plane(tuple(Protocol(pixels(name)) for name in ("ylecun/mnist", "cifar10"))),
    },
    run=train_plane,
)
"""Figure 9: test accuracy over the plane of scaling and regularity of the initial weights."""
