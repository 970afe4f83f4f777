"""Figures 1, 3, 4 and 5: the relative change over the network against its depth."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import altair as alt
import polars as pl
import torch

from ... import theory
from ...models import depth_scale, weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile
from ._initial_networks import draw_ends, states_and_gradients

Quantity = Literal["hidden states", "gradients"]

FORMULA = {
    "hidden states": "||h_L - h_0|| / ||h_0||",
    "gradients": "||p_0 - p_L|| / ||p_L||, p the gradient of the loss",
}
PAPER_DEPTHS = (10, 120, 230, 340, 450, 560, 670, 780, 890, 1000)
CLOSED_FORM = "root mean square, closed form"
MARGIN = 0.1
"""An exponent this close to 0 counts as stable."""


@dataclass(frozen=True)
class Settings:
    """Networks of several depths, each under all scalings."""

    betas: tuple[float, ...]
    depths: tuple[int, ...] = PAPER_DEPTHS
    repetitions: int = 50
    width: int = 40


def profiles(betas: tuple[float, ...]) -> dict[Profile, Settings]:
    """Return the sizes of a figure; the paper's own takes a minute, so `cpu` is the same."""
    smoke = Settings(betas, depths=(10, 20, 40), repetitions=4, width=10)
    return {"smoke": smoke, "cpu": Settings(betas), "paper": Settings(betas)}


def claims(betas: tuple[float, ...], hurst: float, source: str) -> tuple[Claim, ...]:
    """Return what is claimed about the exponent at each beta, given the critical one."""
    critical = theory.critical_exponent(hurst)
    made = []
    for beta in betas:
        name = _exponent(beta)
        if theory.regime(beta, hurst) == "explosion":
            made.append(Claim(name, MARGIN, f"{source}: explosion", relation=">="))
        else:
            expected = critical - beta
            word = theory.regime(beta, hurst)
            made.append(Claim(name, expected, f"{source}: {word}; value derived", tolerance=MARGIN))
    return tuple(made)


def run(
    process: weights.WeightProcess, quantity: Quantity, settings: Settings, context: Context
) -> Outcome:
    """Measure one quantity over depths, scalings and repetitions."""
    depths = list(enumerate(settings.depths, start=context.seed * len(settings.depths)))
    changes = {
        depth: _change(process, quantity, settings, depth, seed)
        for seed, depth in context.track(depths, f"networks with {process} weights")
    }
    measurements, notes = {}, []
    for column, beta in enumerate(settings.betas):
        found = theory.classify(
            lambda depth, column=column: _column(changes[depth], column),  # type: ignore[misc]
            settings.depths,
            margin=MARGIN,
        )
        notes.append(f"beta = {beta:g}: {found}")
        if found.exponent is not None:
            n = settings.repetitions * len(settings.depths)
            exponent = found.exponent
            measurements[_exponent(beta)] = Measurement(exponent.value, exponent.standard_error, n)
    data = _table(changes, settings)
    return Outcome(measurements, data, _figure(data, process, quantity, settings), tuple(notes))


def root_mean_square(settings: Settings) -> pl.DataFrame:
    """Return log10 of the root mean square change for independent weights, in closed form."""
    rows = [
        (beta, depth, 0.5 * math.log10(theory.expected_change(scale, depth)))
        for beta in settings.betas
        for depth in settings.depths
        for scale in [depth_scale(beta, depth)]
    ]
    return pl.DataFrame(rows, schema=["beta", "depth", "exact"], orient="row")


def _change(
    process: weights.WeightProcess, quantity: Quantity, settings: Settings, depth: int, seed: int
) -> theory.RelativeChange:
    """Return the change of every network (rows) under every scaling (columns).

    All scalings are run on the same weights and inputs: one pass, with one sample each.
    """
    layers = weights.draw(process, depth, settings.width, networks=settings.repetitions, seed=seed)
    ends = draw_ends(settings.repetitions, settings.width, seed=seed)
    scales = torch.tensor([depth_scale(beta, depth) for beta in settings.betas])
    states, gradients = states_and_gradients(ends.repeated(len(scales)), layers, scales[:, None])
    return theory.relative_change(states if quantity == "hidden states" else gradients)


def _column(change: theory.RelativeChange, column: int) -> theory.RelativeChange:
    return theory.RelativeChange(change.log10[:, column], change.overflow[:, column])


def _table(changes: dict[int, theory.RelativeChange], settings: Settings) -> pl.DataFrame:
    tables = []
    for depth, change in changes.items():
        for column, beta in enumerate(settings.betas):
            values = {
                "log10_change": change.log10[:, column].tolist(),
                "overflow_layer": change.overflow[:, column].tolist(),
            }
            table = pl.DataFrame(values).with_row_index("repetition")
            tables.append(table.with_columns(beta=pl.lit(beta), depth=pl.lit(depth)))
    return pl.concat(tables)


def _figure(
    data: pl.DataFrame, process: weights.WeightProcess, quantity: Quantity, settings: Settings
) -> Figure:
    drawn = data.filter(pl.col("log10_change").is_finite()).with_columns(
        scaling=pl.col("beta").map_elements(_label, return_dtype=pl.String)
    )
    # The first colour of the house is that of the reference.
    labels = [CLOSED_FORM, *map(_label, settings.betas)]
    shown = labels if process.memoryless else labels[1:]
    key = alt.Legend(symbolType="stroke", symbolOpacity=1, values=shown)
    colour = alt.Color("scaling:N", scale=alt.Scale(domain=labels), legend=key)
    base = alt.Chart(drawn).encode(x=alt.X("depth:Q", title="depth L"), color=colour)
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("q1(log10_change):Q", title=f"log10 of {FORMULA[quantity]}"),
        y2="q3(log10_change):Q",
    )
    line = base.mark_line(point=True).encode(y="mean(log10_change):Q")
    layers = band + line
    if process.memoryless:
        layers = layers + _closed_form(settings, colour)
    caption = (
        f"res-3 networks of width {settings.width}, weights {process}, branches scaled by "
        f"L^-beta: mean and quartiles over {settings.repetitions} independent networks."
    )
    title = f"Relative change of {quantity} against depth"
    return Figure("by_depth", title, caption, caption, layers)


def _closed_form(settings: Settings, colour: alt.Color) -> alt.Chart:
    chart = alt.Chart(root_mean_square(settings)).mark_line(strokeDash=[5, 4])
    labelled = chart.transform_calculate(scaling=f"'{CLOSED_FORM}'")
    return labelled.encode(x="depth:Q", y="exact:Q", detail="beta:N", color=colour)


def _label(beta: float) -> str:
    return f"beta = {beta:g}"


def _exponent(beta: float) -> str:
    return f"exponent in L at beta = {beta:g}"


def _figure_by_depth(
    number: int,
    process: weights.WeightProcess,
    hurst: float,
    betas: tuple[float, ...],
    quantity: Quantity,
) -> Artefact:
    source = f"Marion et al. 2022, figure {number}"
    return Artefact(
        name=f"marion2022/figure{number}",
        source=source,
        claims=claims(betas, hurst, source),
        profiles=profiles(betas),
        run=partial(run, process, quantity),
    )


INDEPENDENT = (weights.uniform(), 0.5, (1.0, 0.5, 0.25))
SMOOTH = (weights.smooth(0.1), 1.0, (2.0, 1.0, 0.5))

figure1 = _figure_by_depth(1, *INDEPENDENT, "hidden states")
"""Figure 1: independent weights, hidden states explode, are stable or do not move."""

figure3 = _figure_by_depth(3, *INDEPENDENT, "gradients")
"""Figure 3: independent weights, gradients explode, are stable or do not move."""

figure4 = _figure_by_depth(4, *SMOOTH, "hidden states")
"""Figure 4: with smooth weights hidden states are stable at beta = 1."""

figure5 = _figure_by_depth(5, *SMOOTH, "gradients")
"""Figure 5: with smooth weights gradients are stable at beta = 1."""
