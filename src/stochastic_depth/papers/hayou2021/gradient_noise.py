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
from ._masked_outputs import masked_outputs
from ._modes import UNIFORM, law
from ._regression import Training, regression_data, trained
from ._shares import GAUSSIAN_SHARE, mean_over_networks, rejected

SOURCE = "Hayou & Ayed 2021, appendix A3, in our own reading"
DEPTHS = (10, 25, 50, 100)
LOSSES: dict[str, theory.Loss] = {"loss": mse_loss, "output": lambda outputs, y: outputs.mean()}
NOTES = (
    "The appendix was not available. Our reading: a component of a gradient is a function of the "
    "gates like any neuron, so that Theorem 2 applies to it with mu_l its derivative in the gate. "
    "Taken here: the gradient of the loss, and of the output, in the first input, which is a "
    "fixed combination of gradients in the first layer's weights.",
    "The gradient of a quadratic loss is that of the output times the error, which is noisy as "
    "well: a product of two Gaussian variables is not one. The predicted variance leaves out "
    "that masks switch ReLUs, which moves a gradient more than an output.",
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
        (kind, depth, context.seed + network)
        for kind in LOSSES
        for depth in settings.depths
        for network in range(settings.networks)
    ]
    rows = [
        (kind, depth, seed, *_case(LOSSES[kind], depth, seed, settings))
        for kind, depth, seed in context.track(cases, "networks")
    ]
    columns = ["gradient_of", "depth", "network", "rejected", "variance_ratio", "lindeberg"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_measurements(data), data, _figure(data, settings), NOTES)


def _case(
    loss: theory.Loss, depth: int, seed: int, settings: Settings
) -> tuple[float, float, float]:
    """Return the share rejected, the variance of the predicted, and the Lindeberg ratio."""
    bernoulli = law(UNIFORM, depth, settings.budget)
    _, model = next(trained(Training(depth, settings.width, epochs=(0,)), bernoulli, seed))
    x, y = regression_data(settings.inputs, seed + 10_000)
    gradient = theory.loss_gradient(model.requires_grad_(False), y, loss)

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
    depths = data["depth"].unique().to_list()
    if max(depths) < max(DEPTHS) or data["network"].n_unique() < 2:
        return {}
    found: dict[str, Measurement] = {}
    for kind in LOSSES:
        shallow, deep = (
            data.filter(gradient_of=kind, depth=depth).sort("network")
            for depth in (min(depths), max(depths))
        )
        found |= {
            f"gradient of {kind}: share rejected at 5 %, L = 100": _mean(deep["rejected"]),
            f"gradient of {kind}: variance of the predicted, L = 100": _mean(
                deep["variance_ratio"]
            ),
            f"gradient of {kind}: Lindeberg ratio at L = 10 over that at L = 100": _mean(
                shallow["lindeberg"] / deep["lindeberg"]
            ),
        }
    return found


def _mean(values: pl.Series) -> Measurement:
    return mean_over_networks(torch.tensor(values.to_list(), dtype=torch.float64))


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    means = data.group_by("gradient_of", "depth").agg(pl.col("rejected").mean()).sort("depth")
    chart = (
        alt.Chart(means)
        .mark_line(point=True)
        .encode(
            x=alt.X("depth:Q", title="depth L"),
            y=alt.Y(
                "rejected:Q", title="share of inputs rejected at 5 %", axis=alt.Axis(format="%")
            ),
        )
    )
    caption = (
        "Share of inputs for which Shapiro-Wilk rejects that a component of the gradient is "
        f"Gaussian over {settings.masks} masks. {settings.networks} networks of width "
        f"{settings.width} at initialisation, {settings.inputs} inputs each, uniform, budget "
        f"{settings.budget:g}."
    )
    return Figure("gradient_noise", "Noise of the gradient", caption, caption, chart)


ARTEFACT = Artefact(
    name="hayou2021/gradient_noise",
    source=SOURCE,
    claims=tuple(
        claim
        for kind in LOSSES
        for claim in (
            Claim(
                f"gradient of {kind}: share rejected at 5 %, L = 100",
                GAUSSIAN_SHARE,
                SOURCE,
                relation="<=",
            ),
            Claim(f"gradient of {kind}: variance of the predicted, L = 100", 1.0, SOURCE, 0.2),
            Claim(
                f"gradient of {kind}: Lindeberg ratio at L = 10 over that at L = 100",
                2.0,
                SOURCE,
                relation=">=",
            ),
        )
    ),
    profiles={
        "smoke": Settings((4, 8), width=16, networks=2, inputs=4, masks=30),
        "cpu": Settings(networks=4, inputs=30),
        "paper": Settings(),
    },
    run=run,
)
