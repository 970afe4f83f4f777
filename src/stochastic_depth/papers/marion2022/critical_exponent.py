"""The critical exponent of the scaling against the Hurst exponent of the weights."""

from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._critical import Sizes, critical_beta, first_order_exponent

SOURCE = "Marion et al. 2022, section on intermediate regimes"
HURST = tuple(round(0.1 * k, 1) for k in range(1, 10))
BETAS = np.arange(0.3, 1.151, 0.05).tolist()
TOLERANCE = 0.05
PAPER = Sizes()


@dataclass(frozen=True)
class Settings:
    """The networks at each Hurst exponent."""

    sizes: Sizes = PAPER


def run(settings: Settings, context: Context) -> Outcome:
    """Find at each H the beta at which the relative change does not depend on depth."""
    rows, measurements = [], {}
    seeds = enumerate(HURST, start=context.seed * len(HURST))
    for seed, hurst in context.track(list(seeds), "Hurst exponents"):
        found = critical_beta(hurst, BETAS, settings.sizes, seed)
        if found is not None:
            n = settings.sizes.draws * len(settings.sizes.depths)
            measurements[_name(hurst)] = Measurement(found.value, found.standard_error, n)
            # The claim about finite depth, whose expectation depends on the depths.
            excess = found.value - first_order_exponent(hurst, settings.sizes)
            measurements[_excess(hurst)] = Measurement(excess, found.standard_error, n)
            rows.append((hurst, found.value, found.low, found.high))
    schema = dict.fromkeys(("hurst", "beta", "low", "high"), pl.Float64)
    data = pl.DataFrame(rows, schema=schema, orient="row")
    return Outcome(measurements, data, _figure(data, settings))


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    expected = pl.DataFrame(
        {"hurst": [0.0, 0.5, 1.0], "beta": [0.5, *map(theory.critical_exponent, (0.5, 1.0))]}
    )
    axes = {
        "x": alt.X("hurst:Q", title="Hurst exponent H of the weights"),
        "y": alt.Y("beta:Q", title="critical exponent beta", scale=alt.Scale(domain=[0.3, 1.1])),
    }
    line = alt.Chart(expected).mark_line(strokeDash=[5, 4], color="#6b7280").encode(**axes)
    points = alt.Chart(data).mark_point(filled=True, size=70, color="#0072b2", opacity=1)
    bars = (
        alt.Chart(data)
        .mark_rule(color="#0072b2", strokeWidth=2)
        .encode(x="hurst:Q", y="low:Q", y2="high:Q")
    )
    sizes = settings.sizes
    caption = (
        f"Where the exponent of depth crosses 0, from depths {min(sizes.depths)} to "
        f"{max(sizes.depths)}, width {sizes.width}, {sizes.draws} independent networks each; bars "
        "95 %. Dashed: max(1/2, H)."
    )
    chart = line + bars + points.encode(**axes)
    return Figure("critical_exponent", "Critical exponent", caption, caption, chart)


def _name(hurst: float) -> str:
    return f"critical exponent at H = {hurst:g}"


def _excess(hurst: float) -> str:
    return f"the same less its value to first order at these depths, H = {hurst:g}"


ARTEFACT = Artefact(
    name="marion2022/critical_exponent",
    source=SOURCE,
    claims=(
        *(
            Claim(
                _name(h), theory.critical_exponent(h), "max(1/2, H), derived", tolerance=TOLERANCE
            )
            for h in HURST
        ),
        *(
            Claim(_excess(h), 0.0, "first-order closed form, derived", tolerance=TOLERANCE)
            for h in HURST
        ),
    ),
    profiles={
        "smoke": Settings(Sizes(depths=(20, 80), width=10, draws=4, inputs=2)),
        "cpu": Settings(Sizes(depths=(100, 400, 1600))),
        "paper": Settings(),
    },
    run=run,
)
