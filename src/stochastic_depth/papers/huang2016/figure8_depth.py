"""Figure 8, right: test error by depth and survival probability of the last block."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from ...experiments import Comparison
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim
from .._experiment import Experiment, errors_of, known, mean, remarks, trained
from ._profiles import CPU, profiles

SOURCE = "Huang et al. 2016, figure 8, right"

VALLEY = "best survival probability of the shallowest network minus that of the deepest"


def variants(depths: Sequence[int], survival: Sequence[float]) -> dict[str, Mapping[str, Any]]:
    """Return one variant for each depth and each survival probability of the last block."""
    return {
        f"{depth} layers {last:g}": {"model.init_args.depth": depth, "depth.last": last}
        for depth in depths
        for last in survival
    }


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train every depth at every survival probability."""
    comparison = trained(experiment, context)
    data = _table(comparison)
    found = known({VALLEY: mean(_valley(data))})
    return Outcome(found, data, _figure(data), remarks(comparison))


def _table(comparison: Comparison) -> pl.DataFrame:
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


def _figure(data: pl.DataFrame) -> Figure:
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
SMALL = {"model.init_args.width": 8, "data.limit": 2000, "data.shift": 0, "data.flip": False}

ARTEFACT = Artefact(
    name="huang2016/figure8_depth",
    source=SOURCE,
    claims=(Claim(VALLEY, 0.0, SOURCE, relation=">="),),
    profiles=profiles(
        "cifar10-depth",
        "huang2016_cifar10",
        CPU | SMALL | {"epochs": 30},
        variants={
            "smoke": variants((8,), (0.5, 1.0)),
            "cpu": variants((20, 56), (0.2, 0.5, 0.8)),
            # The printed grid could not be read off.
            "paper": variants((20, 32, 44, 56, 110), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        },
    ),
    run=run,
)
