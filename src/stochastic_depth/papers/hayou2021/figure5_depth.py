"""Figure 5, right: neurons become Gaussian after about twenty layers."""

from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ... import gates, theory
from ...models import VanillaResNet
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import ALONE
from ._masked_outputs import masked_outputs
from ._modes import UNIFORM, law
from ._regression import Training, regression_data, trained
from ._shares import GAUSSIAN_SHARE, mean_over_networks, rejected

SOURCE = "Hayou & Ayed 2021, figure 5, right"


@dataclass(frozen=True)
class Settings:
    """Networks at initialisation, inputs per network, masks per input."""

    depth: int = 100
    width: int = 128
    networks: int = 20
    inputs: int = 50
    masks: int = 200
    budget: float = 0.7


def run(settings: Settings, context: Context) -> Outcome:
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
    return Outcome(_measurements(shares, settings), data, _figure(data, settings))


def _shares(seed: int, settings: Settings) -> Tensor:
    """Return, for each layer, the share of inputs for which normality is rejected."""
    bernoulli = law(UNIFORM, settings.depth, settings.budget)
    training = Training(settings.depth, settings.width, epochs=(0,))
    _, model = next(trained(training, bernoulli, seed))
    x, _ = regression_data(settings.inputs, seed + 10_000)
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


def _measurements(shares: Tensor, settings: Settings) -> dict[str, Measurement]:
    if settings.depth < 100 or len(shares) < 2:
        return {}
    return {
        "share rejected at 5 %, layers 1 to 5": mean_over_networks(shares[:, :5].mean(1)),
        "share rejected at 5 %, layers 20 to 30": mean_over_networks(shares[:, 19:30].mean(1)),
        "share rejected at 5 %, layers 90 to 100": mean_over_networks(shares[:, 89:].mean(1)),
    }


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
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


ARTEFACT = Artefact(
    name="hayou2021/figure5_depth",
    source=SOURCE,
    claims=(
        Claim("share rejected at 5 %, layers 1 to 5", 0.5, SOURCE, 0.0, ">="),
        Claim("share rejected at 5 %, layers 20 to 30", GAUSSIAN_SHARE, SOURCE, 0.0, "<="),
        Claim("share rejected at 5 %, layers 90 to 100", GAUSSIAN_SHARE, SOURCE, 0.0, "<="),
    ),
    profiles={
        "smoke": Settings(depth=8, width=16, networks=2, inputs=3, masks=30),
        "cpu": Settings(networks=6, inputs=30),
        "paper": Settings(),
    },
    run=run,
)
