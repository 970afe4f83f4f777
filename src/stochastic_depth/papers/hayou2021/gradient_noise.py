"""Appendix A3: random masks add noise to the gradient that becomes Gaussian with depth."""

from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ... import gates, theory
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from ._colours import ALONE
from ._masked_outputs import masked_outputs
from ._modes import UNIFORM, law
from ._regression import Training, regression_data, trained
from ._shares import GAUSSIAN_SHARE, mean_over_networks, rejected

SOURCE = "Hayou & Ayed 2021, appendix A3, in our own reading"
DEPTHS = (10, 25, 50, 100)
NOTES = (
    "The appendix was not available. Our reading: a component of the gradient of the loss is a "
    "function of the gates like any neuron, so that Theorem 2 applies to it with mu_l its "
    "derivative in the gate. Taken here: the loss gradient in the first input, which is a fixed "
    "combination of gradients in the first layer's weights.",
)


@dataclass(frozen=True)
class Settings:
    """Networks at initialisation, inputs per network, masks per input."""

    depths: tuple[int, ...] = DEPTHS
    width: int = 128
    networks: int = 10
    inputs: int = 50
    masks: int = 200
    budget: float = 0.7


def run(settings: Settings, context: Context) -> Outcome:
    """Test the gradient for normality, and compare its variance, at several depths."""
    cases = [
        (depth, context.seed + network)
        for depth in settings.depths
        for network in range(settings.networks)
    ]
    rows = [
        (depth, seed, *_case(depth, seed, settings))
        for depth, seed in context.track(cases, "networks")
    ]
    columns = ["depth", "network", "rejected", "variance_ratio", "lindeberg"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_measurements(data), data, _figure(data, settings), NOTES)


def _case(depth: int, seed: int, settings: Settings) -> tuple[float, float, float]:
    """Return the share rejected, the variance of the predicted, and the Lindeberg ratio."""
    bernoulli = law(UNIFORM, depth, settings.budget)
    _, model = next(trained(Training(depth, settings.width, epochs=(0,)), bernoulli, seed))
    x, y = regression_data(settings.inputs, seed + 10_000)
    gradient = theory.loss_gradient(model.requires_grad_(False), y, mse_loss)

    def first_component(rows: Tensor, masks: Tensor) -> Tensor:
        return gradient(rows, masks)[:, :1]

    generator = gates.stream(seed, depth, rank=1)
    draws = masked_outputs(first_component, x, bernoulli, settings.masks, generator)[:, :, 0]
    zeta = theory.discrepancies(first_component, x, bernoulli.mean)
    ratio = draws.var(0) / theory.noise_variance(zeta, bernoulli)[:, 0]
    p = theory.normality(draws, "shapiro").p_value
    lindeberg = float(theory.lindeberg_ratio(zeta).mean())
    return float(rejected(p, 0)), float(ratio.median()), lindeberg


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
    def over_networks(depth: int, column: str) -> Measurement:
        values = data.filter(depth=depth).sort("network")[column].to_list()
        return mean_over_networks(torch.tensor(values, dtype=torch.float64))

    depths = data["depth"].unique().to_list()
    if max(depths) < max(DEPTHS) or data["network"].n_unique() < 2:
        return {}
    shallow, deep = (over_networks(depth, "lindeberg") for depth in (min(depths), max(depths)))
    error = (shallow.standard_error**2 + deep.standard_error**2) ** 0.5
    return {
        "share rejected at 5 %, L = 100": over_networks(max(depths), "rejected"),
        "variance over masks, of the predicted, L = 100": over_networks(
            max(depths), "variance_ratio"
        ),
        "Lindeberg ratio at L = 10 over that at L = 100": Measurement(
            shallow.value / deep.value, error / deep.value, shallow.n
        ),
    }


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    means = data.group_by("depth").agg(pl.col("rejected").mean()).sort("depth")
    chart = (
        alt.Chart(means)
        .mark_line(point={"color": ALONE}, color=ALONE)
        .encode(
            x=alt.X("depth:Q", title="depth L"),
            y=alt.Y(
                "rejected:Q", title="share of inputs rejected at 5 %", axis=alt.Axis(format="%")
            ),
        )
    )
    caption = (
        "Share of inputs for which Shapiro-Wilk rejects that a component of the loss gradient is "
        f"Gaussian over {settings.masks} masks. {settings.networks} networks of width "
        f"{settings.width} at initialisation, {settings.inputs} inputs each, uniform, budget "
        f"{settings.budget:g}."
    )
    return Figure("gradient_noise", "Noise of the gradient", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/gradient_noise",
    source=SOURCE,
    claims=(
        Claim("share rejected at 5 %, L = 100", GAUSSIAN_SHARE, SOURCE, 0.0, "<="),
        Claim("variance over masks, of the predicted, L = 100", 1.0, SOURCE, 0.2),
        Claim("Lindeberg ratio at L = 10 over that at L = 100", 2.0, SOURCE, 0.0, ">="),
    ),
    profiles={
        "smoke": Settings((4, 8), width=16, networks=2, inputs=4, masks=30),
        "cpu": Settings(networks=4, inputs=30),
        "paper": Settings(),
    },
    run=run,
)
