"""The critical exponent of the scaling against the Hurst exponent of the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl
from torch import Tensor

from ... import gates, theory
from ...models import weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._initial_networks import SURROUNDINGS, Networks, change_by_beta, crossing


@dataclass(frozen=True)
class Sizes:
    """Networks of several depths, drawn independently."""

    depths: tuple[int, ...] = (250, 1000, 4000)
    width: int = 20
    draws: int = 40
    inputs: int = 4


@dataclass(frozen=True)
class Survival:
    """One survival probability for all blocks; an independent draw for each network."""

    p: float
    rescale: gates.Rescale

    def law(self, depth: int) -> gates.Bernoulli:
        """Return the law of the gates of `depth` blocks."""
        return gates.Bernoulli([self.p] * depth, rescale=self.rescale)

    def __str__(self) -> str:
        gate = "0 or 1" if self.rescale == "test" else f"0 or {1 / self.p:g}"
        return f"survival {self.p:g}, gates {gate}"


def critical_beta(
    hurst: float,
    betas: Sequence[float],
    sizes: Sizes,
    seed: int,
    survival: Survival | None = None,
) -> theory.Slope | None:
    """Return the beta at which the relative change does not depend on depth.

    The exponent of depth is fitted at every beta; it falls by 1 per unit of beta, so that
    its standard error is that of the place where it crosses 0. None if it does not.
    """
    exponents = _exponents(hurst, betas, sizes, seed, survival)
    found = crossing(betas, [exponent.value for exponent in exponents])
    if found is None:
        return None
    nearest = min(range(len(betas)), key=lambda index: abs(betas[index] - found))
    return theory.Slope(found, exponents[nearest].standard_error)


def _exponents(
    hurst: float, betas: Sequence[float], sizes: Sizes, seed: int, survival: Survival | None
) -> list[theory.Slope]:
    means, errors = [], []
    for index, depth in enumerate(sizes.depths):
        log10 = _change(hurst, betas, sizes, seed * len(sizes.depths) + index, survival, depth)
        means.append(log10.mean(0))
        errors.append(log10.std(0) / math.sqrt(sizes.draws))
    places = [math.log10(depth) for depth in sizes.depths]
    return [
        theory.fit_slope(places, [float(m[b]) for m in means], [float(e[b]) for e in errors])
        if all(mean[b].isfinite() for mean in means)
        else theory.Slope(math.inf, 0.0)  # an overflow: explosion
        for b in range(len(betas))
    ]


def _change(
    hurst: float,
    betas: Sequence[float],
    sizes: Sizes,
    seed: int,
    survival: Survival | None,
    depth: int,
) -> Tensor:
    """Return log10 of the change, averaged over inputs: (draws, betas)."""
    networks = Networks(depth, sizes.width, sizes.draws, sizes.inputs)
    drawn = masks(survival, depth, sizes.draws, seed)
    return change_by_beta(weights.fractional(hurst), betas, networks, seed, drawn).log10.mean(2)


def first_order_exponent(hurst: float, sizes: Sizes, survival: Survival | None = None) -> float:
    """Return the exponent in these depths of the change to first order, at beta = 0.

    It tends to max(1/2, H) as depths grow; at finite depth it is what to expect in its place.
    """
    process = weights.fractional(hurst)
    logs = [
        theory.first_order_change(
            1.0, process.covariance(depth), survival.law(depth) if survival else None
        )
        for depth in sizes.depths
    ]
    places = [math.log10(depth) for depth in sizes.depths]
    exact = [0.0] * len(places)
    return theory.fit_slope(places, [math.log10(x) / 2 for x in logs], exact).value


def masks(survival: Survival | None, depth: int, draws: int, seed: int) -> Tensor | None:
    """Return gates (L, draws), or None for all ones."""
    if survival is None:
        return None
    return survival.law(depth).sample(draws, generator=gates.stream(seed, SURROUNDINGS + 1))


SOURCE = "Marion et al. 2022, section on intermediate regimes"
HURST = tuple(round(0.1 * k, 1) for k in range(1, 10))
BETAS = np.arange(0.3, 1.151, 0.05).tolist()
TOLERANCE = 0.05
PAPER = Sizes()


@dataclass(frozen=True)
class Settings:
    """The networks at each Hurst exponent."""

    sizes: Sizes = PAPER


def find_exponents(settings: Settings, context: Context) -> Outcome:
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


critical_exponent = Artefact(
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
    run=find_exponents,
)
"""The critical exponent of the scaling against the Hurst exponent of the weights."""
