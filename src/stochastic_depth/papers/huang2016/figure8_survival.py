"""Figure 8, left: test error by the survival probability of the last block, two schedules."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from ...experiments import Comparison
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from .._experiment import CONSTANT, Experiment, errors_of, known, lower_by, remarks, trained
from ._profiles import CPU, profiles

SOURCE = "Huang et al. 2016, figure 8, left"

LINEAR, UNIFORM = "linear", "uniform"
SURVIVAL = (0.2, 0.5, 0.8)
# The values of the printed curves could not be read off; these include those the text names.
GRID = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def variants(*survival: float) -> dict[str, Mapping[str, Any]]:
    """Return constant depth, and both schedules at each survival probability of the last block."""
    found: dict[str, Mapping[str, Any]] = {CONSTANT: {"depth.enabled": False}}
    for last in survival:
        for schedule in (LINEAR, UNIFORM):
            found[f"{schedule} {last:g}"] = {"depth.schedule": schedule, "depth.last": last}
    return found


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train every schedule at every survival probability."""
    comparison = trained(experiment, context)
    data = _table(comparison)
    return Outcome(_measurements(comparison), data, _figure(data), remarks(comparison))


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


def _table(comparison: Comparison) -> pl.DataFrame:
    rows = []
    for variant in comparison.variants:
        schedule, _, last = variant.partition(" ")
        for seed, error in errors_of(comparison, variant).items():
            rows.append((schedule, float(last or 1.0), seed, error))
    return pl.DataFrame(rows, schema=["schedule", "last", "seed", "test_error"], orient="row")


def _figure(data: pl.DataFrame) -> Figure:
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
SMALL = {"model.init_args.depth": 20, "data.limit": 2000, "data.shift": 0, "data.flip": False}

ARTEFACT = Artefact(
    name="huang2016/figure8_survival",
    source=SOURCE,
    claims=(
        *(Claim(_beats_uniform(last), 0.0, SOURCE, relation=">=") for last in SURVIVAL),
        *(Claim(_beats_constant(last), 0.0, SOURCE, relation=">=") for last in (0.5, 0.8)),
    ),
    profiles=profiles(
        "cifar10-survival",
        "huang2016_cifar10",
        CPU | SMALL | {"epochs": 30},
        variants={"smoke": variants(0.5), "cpu": variants(*SURVIVAL), "paper": variants(*GRID)},
    ),
    run=run,
)
