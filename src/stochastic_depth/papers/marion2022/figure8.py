"""Figure 8: one weight over depth, before and after training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import altair as alt
import polars as pl
from torch import Tensor

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._training import Protocol, Trained, pixels, trained

SOURCE = "Marion et al. 2022, figure 8"
CELLS = (("smooth(0.1)", 1.0), ("uniform", 1.0), ("uniform", 0.5))
DEPTHS = {"constant depth": None, "stochastic depth": 0.5}
EXPECTED = {"smooth(0.1)": (1.0, 0.2), "uniform": (0.0, 0.2)}
"""Hoelder exponents of the initial weights, and how close to them counts as kept."""


@dataclass(frozen=True)
class Settings:
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


def run(settings: Settings, context: Context) -> Outcome:
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
    return Outcome(_measurements(runs), data, _figure(runs, settings), _notes(runs))


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


def _measurements(runs: list[Run]) -> dict[str, Measurement]:
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
                error = stdev(values) / math.sqrt(len(values))
                measured[_name(init, beta, kind)] = Measurement(fmean(values), error, len(values))
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


def _figure(runs: list[Run], settings: Settings) -> Figure:
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


def _name(init: str, beta: float, kind: str) -> str:
    return f"Hoelder exponent after training, {init}, beta = {beta:g}, {kind}"


ARTEFACT = Artefact(
    name="marion2022/figure8",
    source=SOURCE,
    claims=tuple(
        Claim(
            _name(init, beta, kind),
            EXPECTED[init][0],
            f"{SOURCE}: training keeps the regularity of the initial weights",
            tolerance=EXPECTED[init][1],
        )
        for init, beta in CELLS
        for kind in DEPTHS
    ),
    profiles={
        "smoke": Settings(Protocol(pixels("digits", 200), depth=20, width=10, epochs=1), seeds=1),
        "cpu": Settings(Protocol(pixels("fashion-mnist", 2000), depth=500)),
        "paper": Settings(
            Protocol(pixels("ylecun/mnist"), epochs=300, decay_every=1000), rate=0.01, seeds=1
        ),
    },
    run=run,
)
