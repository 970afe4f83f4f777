"""Figure 6: paths of fractional Brownian motion, whose increments are the weights."""

import math
from dataclasses import dataclass

import altair as alt
import polars as pl
import torch

from ... import theory
from ...gates import stream
from ...models import weights
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement

SOURCE = "Marion et al. 2022, figure 6"
HURST = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Settings:
    """One path is drawn for each exponent; `paths` of them are measured."""

    length: int = 1000
    paths: int = 5000


def run(settings: Settings, context: Context) -> Outcome:
    """Draw increments, measure their regularity and sum one path of each."""
    measurements: dict[str, Measurement] = {}
    tables = []
    for index, hurst in enumerate(context.track(HURST, "paths")):
        generator = stream(context.seed, index)
        noise = weights.fractional(hurst).sample(
            settings.length, (settings.paths,), generator=generator
        )
        exponent = theory.hurst_exponent(noise)
        ends = noise.double().sum(0).square() / settings.length ** (2 * hurst)
        error = float(ends.std()) / math.sqrt(settings.paths)
        measurements |= {
            _regularity(hurst): _measured(exponent.value, exponent.standard_error, settings),
            _variance(hurst): _measured(float(ends.mean()), error, settings),
        }
        tables.append(_path(noise[:, 0], hurst))
    data = pl.concat(tables)
    return Outcome(measurements, data, _figure(data, settings))


def _measured(value: float, error: float, settings: Settings) -> Measurement:
    return Measurement(value, error, settings.paths)


def _path(noise: torch.Tensor, hurst: float) -> pl.DataFrame:
    """Return B_H(k/N) for k = 0..N: the sums of the increments over N^H."""
    path = torch.cat([torch.zeros(1), noise.cumsum(0)]) / len(noise) ** hurst
    time = torch.linspace(0, 1, len(path))
    return pl.DataFrame({"time": time.tolist(), "value": path.tolist()}).with_columns(
        hurst=pl.lit(f"H = {hurst:g}")
    )


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    order = alt.Scale(domain=["", *(f"H = {hurst:g}" for hurst in HURST)])
    key = alt.Legend(symbolType="stroke", values=[f"H = {hurst:g}" for hurst in HURST])
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


ARTEFACT = Artefact(
    name="marion2022/figure6",
    source=SOURCE,
    claims=(
        *(Claim(_regularity(h), h, "definition of H", tolerance=0.02) for h in HURST),
        *(Claim(_variance(h), 1.0, "definition of B_H", tolerance=0.1) for h in HURST),
    ),
    profiles={"smoke": Settings(length=64, paths=20), "cpu": Settings(), "paper": Settings()},
    run=run,
)
