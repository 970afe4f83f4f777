"""Figure 5, left: the output under random masks is Gaussian throughout training."""

from dataclasses import dataclass, field

import altair as alt
import polars as pl
import torch

from ... import gates, theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import ALONE
from ._masked_outputs import masked_outputs
from ._modes import UNIFORM, law
from ._regression import Training, regression_data, trained
from ._shares import GAUSSIAN_SHARE, mean_over_networks, rejected

SOURCE = "Hayou & Ayed 2021, figure 5, left"
EPOCHS = (0, 1, 5, 10, 20, 40)


@dataclass(frozen=True)
class Settings:
    """Networks, test inputs per network, masks per input, and the training."""

    networks: int = 4
    inputs: int = 200
    masks: int = 200
    budget: float = 0.7
    training: Training = field(default_factory=lambda: Training(epochs=EPOCHS))


def run(settings: Settings, context: Context) -> Outcome:
    """Train, and at every wanted epoch test the outputs of fresh inputs for normality."""
    seeds = [context.seed + network for network in range(settings.networks)]
    tables = [
        table
        for seed in context.track(seeds, "training networks")
        for table in _p_values(seed, settings)
    ]
    data = pl.concat(tables)
    return Outcome(_measurements(data), data, _figure(data, settings))


def _p_values(seed: int, settings: Settings) -> list[pl.DataFrame]:
    bernoulli = law(UNIFORM, settings.training.depth, settings.budget)
    x, _ = regression_data(settings.inputs, seed + 10_000)  # not those of the training
    tables = []
    for epoch, model in trained(settings.training, bernoulli, seed):
        generator = gates.stream(seed, epoch, rank=1)
        with torch.no_grad():
            draws = masked_outputs(model, x, bernoulli, settings.masks, generator)
        p = theory.normality(draws[:, :, 0], "shapiro").p_value
        tables.append(pl.DataFrame({"p": p.tolist()}).with_columns(epoch=epoch, network=seed))
    return tables


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
    found = {}
    for epoch in EPOCHS:
        groups = data.filter(epoch=epoch).partition_by("network")
        shares = [float(rejected(torch.tensor(group["p"].to_list()), 0)) for group in groups]
        if len(shares) > 1:
            measured = mean_over_networks(torch.tensor(shares, dtype=torch.float64))
            found[f"share rejected at 5 %, epoch {epoch}"] = measured
    return found


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_boxplot(color=ALONE, extent="min-max", size=24)
        .encode(
            x=alt.X("epoch:O", title="epoch", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("p:Q", title="p-value of the Shapiro-Wilk test"),
        )
    )
    caption = (
        f"p-values for the output of ResNet{settings.training.depth} of width "
        f"{settings.training.width}, {settings.masks} masks per input, {settings.inputs} inputs, "
        f"{settings.networks} networks; uniform, budget {settings.budget:g}. Under exact "
        "normality they are uniform on [0, 1]."
    )
    return Figure("figure5_epochs", "Gaussian throughout training", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/figure5_epochs",
    source=SOURCE,
    claims=tuple(
        Claim(f"share rejected at 5 %, epoch {epoch}", GAUSSIAN_SHARE, SOURCE, 0.0, "<=")
        for epoch in EPOCHS
    ),
    profiles={
        "smoke": Settings(2, 4, 20, training=Training(8, 16, (0, 1), samples=20)),
        "cpu": Settings(networks=2, inputs=100),
        "paper": Settings(),
    },
    run=run,
)
