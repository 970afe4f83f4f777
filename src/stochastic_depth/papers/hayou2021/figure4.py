"""Figure 4: no block dominates the noise; the second condition of Theorem 2 in training."""

from dataclasses import dataclass, field, replace

import altair as alt
import polars as pl
import torch

from ... import theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._modes import UNIFORM, law
from ._regression import Training, regression_data, trained
from ._shares import mean_over_networks

SOURCE = "Hayou & Ayed 2021, figure 4"
EPOCHS = (0, 5, 10, 20, 40)


@dataclass(frozen=True)
class Settings:
    """Depths, networks per depth, inputs the ratio is averaged over, and the training."""

    depths: tuple[int, ...] = (10, 25, 50, 100, 200)
    networks: int = 4
    inputs: int = 100
    budget: float = 0.7
    training: Training = field(default_factory=lambda: Training(epochs=EPOCHS))


def run(settings: Settings, context: Context) -> Outcome:
    """Train networks of several depths and look at the ratio on the way."""
    cases = [(depth, network) for depth in settings.depths for network in range(settings.networks)]
    rows = [
        row
        for depth, network in context.track(cases, "training networks")
        for row in _ratios(depth, context.seed + network, settings)
    ]
    data = pl.DataFrame(rows, schema=["depth", "network", "epoch", "ratio"], orient="row")
    return Outcome(_measurements(data, settings), data, _figure(data, settings))


def _ratios(depth: int, seed: int, settings: Settings) -> list[tuple[int, int, int, float]]:
    training = replace(settings.training, depth=depth)
    x, _ = regression_data(settings.inputs, seed)
    rows = []
    for epoch, model in trained(training, law(UNIFORM, depth, settings.budget), seed):
        ratio = theory.lindeberg_ratio(theory.discrepancies(model, x))
        rows.append((depth, seed, epoch, float(ratio.mean())))
    return rows


def _measurements(data: pl.DataFrame, settings: Settings) -> dict[str, Measurement]:
    """Return the slope of log ratio against log depth, at each epoch that is claimed."""
    log_depth = torch.tensor(settings.depths, dtype=torch.float64).log()
    centred = log_depth - log_depth.mean()
    found = {}
    for epoch in EPOCHS:
        values = data.filter(epoch=epoch).sort("network", "depth")["ratio"].to_list()
        if not values:
            continue
        log_ratio = torch.tensor(values, dtype=torch.float64).log().reshape(-1, len(log_depth))
        slopes = log_ratio @ centred / centred.square().sum()
        if len(slopes) > 1:
            found[f"slope of log ratio in log depth, epoch {epoch}"] = mean_over_networks(slopes)
    return found


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    means = data.group_by("depth", "epoch").agg(pl.col("ratio").mean()).sort("epoch", "depth")
    chart = (
        alt.Chart(means)
        .mark_line(point=True)
        .encode(
            x=alt.X("depth:Q", title="depth L", scale=alt.Scale(type="log")),
            y=alt.Y(
                "ratio:Q", title="largest mu², of the sum", scale=alt.Scale(type="log", nice=False)
            ),
            color=alt.Color("epoch:O", scale=alt.Scale(scheme="viridis")),
        )
    )
    caption = (
        "Share of the largest block in the sum of squares that makes the variance of the noise, "
        f"at the output. Mean over {settings.networks} networks of width "
        f"{settings.training.width} and {settings.inputs} inputs, uniform, budget "
        f"{settings.budget:g}, toy regression."
    )
    return Figure("figure4", "No block dominates", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/figure4",
    source=SOURCE,
    claims=tuple(
        Claim(
            f"slope of log ratio in log depth, epoch {epoch}",
            0.0,
            f"{SOURCE}, downtrend",
            0.0,
            "<=",
        )
        for epoch in EPOCHS
    ),
    profiles={
        "smoke": Settings((4, 8), 2, 4, training=Training(width=16, epochs=(0, 5), samples=10)),
        "cpu": Settings((10, 25, 50, 100), networks=3),
        "paper": Settings(),
    },
    run=run,
)
