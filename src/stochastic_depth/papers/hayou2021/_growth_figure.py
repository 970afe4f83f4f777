"""Figures 2a to 2c: growth of the gradient against the layer, for three pairs of settings."""

import math

import altair as alt
import polars as pl

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import by_mode
from ._growth import GrowthSettings, measure
from ._modes import MODES, law

# Of log10 of the growth over all layers: a factor of 1.6 where the growth itself is up to
# 10^15, and in the stable network, where it is at most e, a tenth of that.
TOLERANCE, STABLE_TOLERANCE = 0.2, 0.02


def growth_figure(letter: str, budget: float, *, stable: bool) -> Artefact:
    """Return the artefact of one panel of figure 2."""
    source = f"Hayou & Ayed 2021, figure 2{letter}"
    name = f"figure2{letter}"

    def run(settings: GrowthSettings, context: Context) -> Outcome:
        data = measure(settings, context)
        return Outcome(_measurements(data), data, _figure(name, data, settings))

    return Artefact(
        name=f"hayou2021/{name}",
        source=source,
        claims=_claims(source, budget, stable),
        profiles={
            "smoke": GrowthSettings(budget, stable, depth=10, width=32, draws=8, masks=4),
            "cpu": GrowthSettings(budget, stable, draws=100),
            "paper": GrowthSettings(budget, stable),
        },
        run=run,
    )


def _claims(source: str, budget: float, stable: bool) -> tuple[Claim, ...]:
    scale = 50**-0.5 if stable else 1.0
    predicted = {mode: theory.predicted_growth(law(mode, 50, budget), scale) for mode in MODES}
    return tuple(
        Claim(
            f"{mode}: log10 of the growth over all layers",
            round(float(predicted[mode][0]) / math.log(10), 4),
            f"{source}, by Proposition 1",
            STABLE_TOLERANCE if stable else TOLERANCE,
        )
        for mode in MODES
    )


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
    first = data.filter(layer=0)
    return {
        f"{row['mode']}: log10 of the growth over all layers": Measurement(
            row["log"] / math.log(10), row["standard_error"] / math.log(10), row["draws"]
        )
        for row in first.iter_rows(named=True)
    }


def _figure(name: str, data: pl.DataFrame, settings: GrowthSettings) -> Figure:
    curves = data.with_columns(
        measured=pl.col("log").exp(),
        proposition=pl.col("predicted").exp(),
        low=(pl.col("log") - 2 * pl.col("standard_error")).exp(),
        high=(pl.col("log") + 2 * pl.col("standard_error")).exp(),
    )
    scale = alt.Scale(zero=False) if settings.stable else alt.Scale(type="log")
    axis = alt.Axis() if settings.stable else alt.Axis(format=".0e")
    y = alt.Y(
        "proposition:Q", title="squared gradient norm, from layer L on", scale=scale, axis=axis
    )
    x = alt.X("layer:Q", title="layer l")
    chart = alt.LayerChart(
        layer=[
            alt.Chart(curves)
            .mark_area(opacity=0.25)
            .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=by_mode(*MODES)),
            alt.Chart(curves).mark_line().encode(x=x, y=y, color=by_mode(*MODES)),
            alt.Chart(curves.filter(pl.col("layer") % 5 == 0))
            .mark_point(filled=True, size=40, opacity=1)
            .encode(x=x, y=alt.Y("measured:Q", scale=scale), color=by_mode(*MODES)),
        ]
    )
    network = "stable ResNet" if settings.stable else "ResNet"
    caption = (
        f"Growth of the squared gradient norm from the last layer back to layer l, {network} of "
        f"depth {settings.depth} and width {settings.width}, budget {settings.budget:g}. Lines: "
        f"Proposition 1; points: mean over {settings.draws} networks with {settings.masks} masks "
        "each; bands: two standard errors."
    )
    return Figure(name, "Growth of the gradient", caption, caption, chart)
