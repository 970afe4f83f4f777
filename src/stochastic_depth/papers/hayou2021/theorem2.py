"""Theorem 2 in figures 4 and 5: no block dominates the noise, and it is Gaussian."""

from dataclasses import dataclass, field, replace

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ... import gates, theory
from ...models import VanillaResNet
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._modes import ALONE, UNIFORM, law
from ._regression import (
    GAUSSIAN_SHARE,
    Training,
    at_initialisation,
    fresh_data,
    masked_outputs,
    regression_data,
    rejected,
    trained,
)

FIGURE4 = "Hayou & Ayed 2021, figure 4"
RATIO_EPOCHS = (0, 5, 10, 20, 40)


@dataclass(frozen=True)
class Ratios:
    """Depths, networks per depth, inputs the ratio is averaged over, and the training."""

    depths: tuple[int, ...] = (10, 25, 50, 100, 200)
    networks: int = 4
    inputs: int = 100
    budget: float = 0.7
    training: Training = field(default_factory=lambda: Training(epochs=RATIO_EPOCHS))


def follow_ratio(settings: Ratios, context: Context) -> Outcome:
    """Train networks of several depths and look at the ratio on the way."""
    cases = [(depth, network) for depth in settings.depths for network in range(settings.networks)]
    rows = [
        row
        for depth, network in context.track(cases, "training networks")
        for row in _ratios(depth, context.seed + network, settings)
    ]
    data = pl.DataFrame(rows, schema=["depth", "network", "epoch", "ratio"], orient="row")
    return Outcome(_slopes(data, settings), data, _ratio_figure(data, settings))


def _ratios(depth: int, seed: int, settings: Ratios) -> list[tuple[int, int, int, float]]:
    training = replace(settings.training, depth=depth)
    x, _ = regression_data(settings.inputs, seed)
    rows = []
    for epoch, model in trained(training, law(UNIFORM, depth, settings.budget), seed):
        ratio = theory.lindeberg_ratio(theory.discrepancies(model, x))
        rows.append((depth, seed, epoch, float(ratio.mean())))
    return rows


def _slopes(data: pl.DataFrame, settings: Ratios) -> dict[str, Measurement]:
    """Return the slope of log ratio against log depth, at each epoch that is claimed."""
    log_depth = torch.tensor(settings.depths, dtype=torch.float64).log()
    centred = log_depth - log_depth.mean()
    found = {}
    for epoch in RATIO_EPOCHS:
        values = data.filter(epoch=epoch).sort("network", "depth")["ratio"].to_list()
        if not values:
            continue
        log_ratio = torch.tensor(values, dtype=torch.float64).log().reshape(-1, len(log_depth))
        slopes = log_ratio @ centred / centred.square().sum()
        if len(slopes) > 1:
            found[f"slope of log ratio in log depth, epoch {epoch}"] = Measurement.of(slopes)
    return found


def _ratio_figure(data: pl.DataFrame, settings: Ratios) -> Figure:
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


figure4 = Artefact(
    name="hayou2021/figure4",
    source=FIGURE4,
    claims=tuple(
        Claim(
            f"slope of log ratio in log depth, epoch {epoch}",
            0.0,
            f"{FIGURE4}, downtrend",
            0.0,
            "<=",
        )
        for epoch in RATIO_EPOCHS
    ),
    profiles={
        "smoke": Ratios((4, 8), 2, 4, training=Training(width=16, epochs=(0, 5), samples=10)),
        "cpu": Ratios((10, 25, 50, 100), networks=3),
        "paper": Ratios(),
    },
    run=follow_ratio,
)
"""Figure 4: no block dominates the noise; the second condition of Theorem 2 in training."""


FIGURE5_LEFT = "Hayou & Ayed 2021, figure 5, left"
EPOCHS = (0, 1, 5, 10, 20, 40)


@dataclass(frozen=True)
class Epochs:
    """Networks, test inputs per network, masks per input, and the training."""

    networks: int = 4
    inputs: int = 200
    masks: int = 200
    budget: float = 0.7
    training: Training = field(default_factory=lambda: Training(epochs=EPOCHS))


def measure_epochs(settings: Epochs, context: Context) -> Outcome:
    """Train, and at every wanted epoch test the outputs of fresh inputs for normality."""
    seeds = [context.seed + network for network in range(settings.networks)]
    tables = [
        table
        for seed in context.track(seeds, "training networks")
        for table in _p_values(seed, settings)
    ]
    data = pl.concat(tables)
    return Outcome(_rejected_by_epoch(data), data, _epochs_figure(data, settings))


def _p_values(seed: int, settings: Epochs) -> list[pl.DataFrame]:
    bernoulli = law(UNIFORM, settings.training.depth, settings.budget)
    x, _ = fresh_data(settings.inputs, seed)
    tables = []
    for epoch, model in trained(settings.training, bernoulli, seed):
        generator = gates.stream(seed, epoch, rank=1)
        with torch.no_grad():
            draws = masked_outputs(model, x, bernoulli, settings.masks, generator)
        p = theory.normality(draws[:, :, 0], "shapiro").p_value
        tables.append(pl.DataFrame({"p": p.tolist()}).with_columns(epoch=epoch, network=seed))
    return tables


def _rejected_by_epoch(data: pl.DataFrame) -> dict[str, Measurement]:
    found = {}
    for epoch in EPOCHS:
        groups = data.filter(epoch=epoch).partition_by("network")
        shares = [float(rejected(torch.tensor(group["p"].to_list()), 0)) for group in groups]
        if len(shares) > 1:
            measured = Measurement.of(shares)
            found[f"share rejected at 5 %, epoch {epoch}"] = measured
    return found


def _epochs_figure(data: pl.DataFrame, settings: Epochs) -> Figure:
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


figure5_epochs = Artefact(
    name="hayou2021/figure5_epochs",
    source=FIGURE5_LEFT,
    claims=tuple(
        Claim(f"share rejected at 5 %, epoch {epoch}", GAUSSIAN_SHARE, FIGURE5_LEFT, 0.0, "<=")
        for epoch in EPOCHS
    ),
    profiles={
        "smoke": Epochs(2, 4, 20, training=Training(8, 16, (0, 1), samples=20)),
        "cpu": Epochs(networks=2, inputs=100),
        "paper": Epochs(),
    },
    run=measure_epochs,
)
"""Figure 5, left: the output under random masks is Gaussian throughout training."""


FIGURE5_RIGHT = "Hayou & Ayed 2021, figure 5, right"


@dataclass(frozen=True)
class Layers:
    """Networks at initialisation, inputs per network, masks per input."""

    depth: int = 100
    width: int = 128
    networks: int = 20
    inputs: int = 50
    masks: int = 200
    budget: float = 0.7


def measure_layers(settings: Layers, context: Context) -> Outcome:
    """Test one neuron of every layer for normality."""
    seeds = [context.seed + network for network in range(settings.networks)]
    shares = torch.stack([_shares(seed, settings) for seed in context.track(seeds, "networks")])
    data = pl.DataFrame(
        {
            "layer": list(range(1, settings.depth + 1)),
            "rejected": shares.mean(0).tolist(),
            "standard_error": (shares.std(0) / len(shares) ** 0.5).tolist(),
        }
    )
    return Outcome(_rejected_by_layer(shares, settings), data, _layers_figure(data, settings))


def _shares(seed: int, settings: Layers) -> Tensor:
    """Return, for each layer, the share of inputs for which normality is rejected."""
    bernoulli = law(UNIFORM, settings.depth, settings.budget)
    model = at_initialisation(settings.depth, settings.width, seed)
    x, _ = fresh_data(settings.inputs, seed)
    generator = gates.stream(seed, 0, rank=1)
    with torch.no_grad():
        neurons = masked_outputs(_first_neurons(model), x, bernoulli, settings.masks, generator)
    return rejected(theory.normality(neurons, "shapiro").p_value, 0)


def _first_neurons(model: VanillaResNet) -> theory.Network:
    """Return the network whose outputs are the first neuron of y_1, ..., y_L."""
    states = theory.hidden_states(model, list(model.blocks))

    def neurons(x: Tensor, masks: Tensor) -> Tensor:
        return torch.stack([y[:, 0] for y in states(x, masks)[:-1]], dim=1)

    return neurons


def _rejected_by_layer(shares: Tensor, settings: Layers) -> dict[str, Measurement]:
    if settings.depth < 100 or len(shares) < 2:
        return {}
    return {
        "share rejected at 5 %, layers 1 to 5": Measurement.of(shares[:, :5].mean(1)),
        "share rejected at 5 %, layers 20 to 30": Measurement.of(shares[:, 19:30].mean(1)),
        "share rejected at 5 %, layers 90 to 100": Measurement.of(shares[:, 89:].mean(1)),
    }


def _layers_figure(data: pl.DataFrame, settings: Layers) -> Figure:
    band = alt.Chart(data).transform_calculate(
        low="max(0, datum.rejected - 2 * datum.standard_error)",
        high="datum.rejected + 2 * datum.standard_error",
    )
    x = alt.X("layer:Q", title="layer")
    y = alt.Y("rejected:Q", title="share of inputs rejected at 5 %", axis=alt.Axis(format="%"))
    level = alt.Chart(pl.DataFrame({"level": [0.05]})).mark_rule(strokeDash=[4, 3])
    chart = alt.LayerChart(
        layer=[
            band.mark_area(opacity=0.25, color=ALONE).encode(x=x, y="low:Q", y2="high:Q"),
            alt.Chart(data).mark_line(color=ALONE).encode(x=x, y=y),
            level.encode(y="level:Q"),
        ]
    )
    caption = (
        f"Share of inputs for which Shapiro-Wilk rejects that one neuron of the layer is "
        f"Gaussian over {settings.masks} masks; dashed: 5 %, that of Gaussian draws. "
        f"{settings.networks} networks of width {settings.width} at initialisation, "
        f"{settings.inputs} inputs each, uniform, budget {settings.budget:g}."
    )
    return Figure("figure5_depth", "Gaussian with depth", caption, caption, chart)


figure5_depth = Artefact(
    name="hayou2021/figure5_depth",
    source=FIGURE5_RIGHT,
    claims=(
        Claim("share rejected at 5 %, layers 1 to 5", 0.5, FIGURE5_RIGHT, 0.0, ">="),
        Claim("share rejected at 5 %, layers 20 to 30", GAUSSIAN_SHARE, FIGURE5_RIGHT, 0.0, "<="),
        Claim("share rejected at 5 %, layers 90 to 100", GAUSSIAN_SHARE, FIGURE5_RIGHT, 0.0, "<="),
    ),
    profiles={
        "smoke": Layers(depth=8, width=16, networks=2, inputs=3, masks=30),
        "cpu": Layers(networks=6, inputs=30),
        "paper": Layers(),
    },
    run=measure_layers,
)
"""Figure 5, right: neurons become Gaussian after about twenty layers."""
