"""Figure 8: test error by schedule, survival probability of the last block, and depth."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from ...experiments import Comparison
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from .._experiment import CONSTANT, Experiment, errors_of, known, lower_by, mean, remarks, trained
from ._profiles import CPU, profiles

LEFT = "Huang et al. 2016, figure 8, left"

LINEAR, UNIFORM = "linear", "uniform"
SURVIVAL = (0.2, 0.5, 0.8)
# The values of the printed curves could not be read off; these include those the text names.
GRID = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def schedules(*survival: float) -> dict[str, Mapping[str, Any]]:
    """Return constant depth, and both schedules at each survival probability of the last block."""
    found: dict[str, Mapping[str, Any]] = {CONSTANT: {"depth.enabled": False}}
    for last in survival:
        for schedule in (LINEAR, UNIFORM):
            found[f"{schedule} {last:g}"] = {"depth.schedule": schedule, "depth.last": last}
    return found


def by_survival(experiment: Experiment, context: Context) -> Outcome:
    """Train every schedule at every survival probability."""
    comparison = trained(experiment, context)
    data = _schedules_table(comparison)
    return Outcome(_measurements(comparison), data, _schedules_figure(data), remarks(comparison))


def _beats_uniform(last: float) -> str:
    return f"test error of uniform minus that of linear at {last:g}, points"


def _beats_constant(last: float) -> str:
    return f"test error of constant depth minus that of linear at {last:g}, points"


def _measurements(comparison: Comparison) -> dict[str, Measurement]:
    found: dict[str, Measurement | None] = {}
    for last in SURVIVAL:
        linear, uniform = f"{LINEAR} {last:g}", f"{UNIFORM} {last:g}"
        if linear in comparison.variants:
            found[_beats_uniform(last)] = lower_by(comparison, uniform, linear)
        if linear in comparison.variants and last in (0.5, 0.8):
            found[_beats_constant(last)] = lower_by(comparison, CONSTANT, linear)
    return known(found)


def _schedules_table(comparison: Comparison) -> pl.DataFrame:
    rows = []
    for variant in comparison.variants:
        schedule, _, last = variant.partition(" ")
        for seed, error in errors_of(comparison, variant).items():
            rows.append((schedule, float(last or 1.0), seed, error))
    return pl.DataFrame(rows, schema=["schedule", "last", "seed", "test_error"], orient="row")


def _schedules_figure(data: pl.DataFrame) -> Figure:
    means = data.group_by("schedule", "last").agg(
        pl.col("test_error").mean(), low=pl.col("test_error").min(), high=pl.col("test_error").max()
    )
    colour = alt.Color("schedule:N", scale=alt.Scale(domain=[CONSTANT, LINEAR, UNIFORM]))
    y = alt.Y("test_error:Q", title="test error, %", scale=alt.Scale(zero=False))
    last = alt.Scale(domain=[0, 1])
    x = alt.X("last:Q", title="survival probability of the last block", scale=last)
    constant = pl.col("schedule") == CONSTANT
    lines = alt.Chart(means.filter(~constant).sort("last")).encode(x=x, color=colour)
    level = alt.Chart(means.filter(constant)).encode(y=y, color=colour)
    chart = alt.LayerChart(
        layer=[
            lines.mark_line(point=True).encode(y=y),
            lines.mark_rule().encode(y=alt.Y("low:Q"), y2="high:Q"),
            level.mark_rule(strokeDash=[6, 3]),
        ]
    )
    caption = "Means, and lowest to highest seed; dashed: constant depth."
    return Figure("figure8_survival", "Error by survival probability", caption, caption, chart)


# Many networks: smaller ones, without augmentation, that train for a third as long.
SMALL_SURVIVAL = {
    "model.init_args.depth": 20,
    "data.limit": 2000,
    "data.shift": 0,
    "data.flip": False,
}

figure8_survival = Artefact(
    name="huang2016/figure8_survival",
    source=LEFT,
    claims=(
        *(Claim(_beats_uniform(last), 0.0, LEFT, relation=">=") for last in SURVIVAL),
        *(Claim(_beats_constant(last), 0.0, LEFT, relation=">=") for last in (0.5, 0.8)),
    ),
    profiles=profiles(
        "cifar10-survival",
        "huang2016_cifar10",
        CPU | SMALL_SURVIVAL | {"epochs": 30},
        variants={"smoke": schedules(0.5), "cpu": schedules(*SURVIVAL), "paper": schedules(*GRID)},
    ),
    run=by_survival,
)
"""Figure 8, left: test error by the survival probability of the last block, two schedules."""


RIGHT = "Huang et al. 2016, figure 8, right"

VALLEY = "best survival probability of the shallowest network minus that of the deepest"


def depths_and_survival(
    depths: Sequence[int], survival: Sequence[float]
) -> dict[str, Mapping[str, Any]]:
    """Return one variant for each depth and each survival probability of the last block."""
    return {
        f"{depth} layers {last:g}": {"model.init_args.depth": depth, "depth.last": last}
        for depth in depths
        for last in survival
    }


def by_depth(experiment: Experiment, context: Context) -> Outcome:
    """Train every depth at every survival probability."""
    comparison = trained(experiment, context)
    data = _depths_table(comparison)
    found = known({VALLEY: mean(_valley(data))})
    return Outcome(found, data, _depths_figure(data), remarks(comparison))


def _depths_table(comparison: Comparison) -> pl.DataFrame:
    rows = []
    for variant in comparison.variants:
        depth, _, last = variant.split(" ")
        for seed, error in errors_of(comparison, variant).items():
            rows.append((int(depth), float(last), seed, error))
    return pl.DataFrame(rows, schema=["depth", "last", "seed", "test_error"], orient="row")


def _valley(data: pl.DataFrame) -> list[float]:
    """Return, seed by seed, how far the best survival probability falls with the depth."""
    falls = []
    for _, cells in data.sort("seed").group_by("seed", maintain_order=True):
        best = cells.sort("test_error").unique("depth", keep="first").sort("depth")["last"]
        falls.append(float(best[0] - best[-1]))
    return falls


def _depths_figure(data: pl.DataFrame) -> Figure:
    means = data.group_by("depth", "last").agg(pl.col("test_error").mean())
    base = alt.Chart(means).encode(
        x=alt.X("depth:O", title="layers", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("last:O", title="survival probability of the last block", sort="descending"),
    )
    pale = alt.Scale(range=["#eaf3fa", "#56b4e9"])  # numbers are written on it
    colour = alt.Color("test_error:Q", title="test error, %", scale=pale)
    text = base.mark_text().encode(text=alt.Text("test_error:Q", format=".1f"))
    chart = alt.LayerChart(layer=[base.mark_rect().encode(color=colour), text])
    caption = "Test error in per cent, mean of the seeds."
    return Figure("figure8_depth", "Error by depth and survival", caption, caption, chart)


# Many networks, and some of them deep: narrow ones, without augmentation.
SMALL_DEPTH = {"model.init_args.width": 8, "data.limit": 2000, "data.shift": 0, "data.flip": False}

figure8_depth = Artefact(
    name="huang2016/figure8_depth",
    source=RIGHT,
    claims=(Claim(VALLEY, 0.0, RIGHT, relation=">="),),
    profiles=profiles(
        "cifar10-depth",
        "huang2016_cifar10",
        CPU | SMALL_DEPTH | {"epochs": 30},
        variants={
            "smoke": depths_and_survival((8,), (0.5, 1.0)),
            "cpu": depths_and_survival((20, 56), (0.2, 0.5, 0.8)),
            # The printed grid could not be read off.
            "paper": depths_and_survival(
                (20, 32, 44, 56, 110), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
            ),
        },
    ),
    run=by_depth,
)
"""Figure 8, right: test error by depth and survival probability of the last block."""
