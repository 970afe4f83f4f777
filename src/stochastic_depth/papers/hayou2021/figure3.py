"""Figure 3: the regularisation weights g_l are spread alike over all layers at initialisation."""

import altair as alt
import polars as pl
import torch

from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import ALONE
from ._weights import WeightSettings, level, weights_at_initialisation

SOURCE = "Hayou & Ayed 2021, figure 3"


def run(settings: WeightSettings, context: Context) -> Outcome:
    """Draw the weights, and fit a line through g_l for each draw."""
    g = weights_at_initialisation(settings, context).double()
    data = pl.DataFrame(
        {
            "layer": torch.arange(1, settings.depth + 1).repeat(len(g)).tolist(),
            "draw": torch.arange(len(g)).repeat_interleave(settings.depth).tolist(),
            "g": g.flatten().tolist(),
        }
    )
    return Outcome(_measurements(g, settings), data, _figure(data, settings))


def _measurements(g: torch.Tensor, settings: WeightSettings) -> dict[str, Measurement]:
    position = torch.linspace(-0.5, 0.5, settings.depth, dtype=g.dtype)
    trend = g @ position / position.square().sum() / g.mean()
    return {
        "change of g_l from the first layer to the last, of its mean": _mean(trend),
        "mean g_l, of its value in infinite width": _mean(g.mean(1) / level(settings)),
    }


def _mean(values: torch.Tensor) -> Measurement:
    error = float(values.std()) / len(values) ** 0.5
    return Measurement(float(values.mean()), error, len(values))


def _figure(data: pl.DataFrame, settings: WeightSettings) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_boxplot(color=ALONE, size=6, outliers={"size": 6}, extent="min-max")
        .encode(
            x=alt.X(
                "layer:Q",
                title="layer",
                scale=alt.Scale(domain=[0, settings.depth + 1], nice=False),
            ),
            y=alt.Y("g:Q", title="g_l", scale=alt.Scale(type="log")),
        )
    )
    caption = (
        f"Regularisation weight g_l at initialisation, stable ResNet of depth {settings.depth} "
        f"and width {settings.width}, quadratic loss, {settings.outputs} outputs. Each box: "
        f"{settings.draws} draws of the weights, {settings.samples} inputs each; in the paper's "
        "normalisation."
    )
    return Figure("figure3", "Regularisation weights", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/figure3",
    source=SOURCE,
    claims=(
        Claim("change of g_l from the first layer to the last, of its mean", 0.0, SOURCE, 0.1),
        Claim("mean g_l, of its value in infinite width", 1.0, "Theorem 1 in closed form", 0.1),
    ),
    profiles={
        "smoke": WeightSettings(depth=8, width=32, draws=6, samples=4),
        "cpu": WeightSettings(draws=60),
        "paper": WeightSettings(),
    },
    run=run,
)
