"""The regularisation weights g_l at initialisation: figure 3 and Theorem 1."""

from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from ... import budgets, gates, theory
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._ensemble import Ensemble, Population
from ._modes import ALONE, LINEAR, UNIFORM, by_mode, law


@dataclass(frozen=True)
class WeightSettings:
    """Vanilla ResNet50 of width 512; weights are drawn `draws` times, inputs `samples` times."""

    depth: int = 50
    width: int = 512
    draws: int = 200
    samples: int = 16
    inputs: int = 64
    outputs: int = 4
    stable: bool = True


def weights_at_initialisation(
    settings: WeightSettings, context: Context
) -> Float[Tensor, "draws L"]:
    """Return g_l under the quadratic loss, a mean over inputs, for each draw of the weights.

    In the paper's normalisation: L times `theory.regularizer`.
    """
    networks = Population(
        settings.draws,
        settings.depth,
        settings.width,
        settings.inputs,
        settings.outputs,
        settings.stable,
        context.seed,
    )
    tracked = context.track(networks, "discrepancies at initialisation")
    parts = [
        _weights(network, settings, gates.stream(context.seed, step))
        for step, network in enumerate(tracked)
    ]
    return torch.cat(parts)


def level(settings: WeightSettings) -> float:
    """Return E g_l in infinite width, which is the same for all l.

    E ||z_l||^2 = N (1 + 1/L)^(l-1) for inputs of norm sqrt(inputs), the Jacobian carries
    (1 + 1/L)^(L-l), and the last ReLU with its weights outputs / (2 N).
    """
    return settings.outputs * (1 + 1 / settings.depth) ** (settings.depth - 1)


def _weights(
    network: Ensemble, settings: WeightSettings, generator: torch.Generator
) -> Float[Tensor, "copies L"]:
    x = torch.randn(settings.samples * network.copies, settings.inputs, generator=generator)
    zeta = theory.discrepancies(network, x)
    of_row = 2 * settings.depth * zeta.square().sum(2)
    # Row i belongs to network i mod copies.
    return of_row.unflatten(1, (settings.samples, network.copies)).mean(1).T


FIGURE3 = "Hayou & Ayed 2021, figure 3"


def spread_over_layers(settings: WeightSettings, context: Context) -> Outcome:
    """Draw the weights, and fit a line through g_l for each draw."""
    g = weights_at_initialisation(settings, context).double()
    data = pl.DataFrame(
        {
            "layer": torch.arange(1, settings.depth + 1).repeat(len(g)).tolist(),
            "draw": torch.arange(len(g)).repeat_interleave(settings.depth).tolist(),
            "g": g.flatten().tolist(),
        }
    )
    return Outcome(_spread(g, settings), data, _spread_figure(data, settings))


def _spread(g: torch.Tensor, settings: WeightSettings) -> dict[str, Measurement]:
    position = torch.linspace(-0.5, 0.5, settings.depth, dtype=g.dtype)
    trend = g @ position / position.square().sum() / g.mean()
    return {
        "change of g_l from the first layer to the last, of its mean": Measurement.of(trend),
        "mean g_l, of its value in infinite width": Measurement.of(g.mean(1) / level(settings)),
    }


def _spread_figure(data: pl.DataFrame, settings: WeightSettings) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_boxplot(color=ALONE, size=6, outliers={"size": 6}, extent="min-max")
        .encode(
            x=alt.X(
                "layer:Q",
                title="layer",
                scale=alt.Scale(domain=[0, settings.depth + 1], nice=False),
            ),
            y=alt.Y("g:Q", title="g_l", scale=alt.Scale(type="log")),
        )
    )
    caption = (
        f"Regularisation weight g_l at initialisation, stable ResNet of depth {settings.depth} "
        f"and width {settings.width}, quadratic loss, {settings.outputs} outputs. Each box: "
        f"{settings.draws} draws of the weights, {settings.samples} inputs each; in the paper's "
        "normalisation."
    )
    return Figure("figure3", "Regularisation weights", caption, caption, chart)


figure3 = Artefact(
    name="hayou2021/figure3",
    source=FIGURE3,
    claims=(
        Claim("change of g_l from the first layer to the last, of its mean", 0.0, FIGURE3, 0.1),
        Claim("mean g_l, of its value in infinite width", 1.0, "Theorem 1 in closed form", 0.1),
    ),
    profiles={
        "smoke": WeightSettings(depth=8, width=32, draws=6, samples=4),
        "cpu": WeightSettings(draws=60),
        "paper": WeightSettings(),
    },
    run=spread_over_layers,
)
"""Figure 3: the regularisation weights g_l are spread alike over all layers at initialisation."""


THEOREM1 = "Hayou & Ayed 2021, Theorem 1"
BUDGETS = (0.3, 0.5, 0.7, 0.9)
GROUPS = 20  # of draws, for the standard errors of what is not a mean


def compare_modes(settings: WeightSettings, context: Context) -> Outcome:
    """Compare the regulariser of the modes with the largest at each budget, under mean g_l."""
    g = weights_at_initialisation(settings, context).double()
    rows = [
        (budget, mode, *_share_of_largest(g, survival, budget))
        for budget in BUDGETS
        for mode, survival in _modes(settings.depth, budget).items()
    ]
    data = pl.DataFrame(rows, schema=["budget", "mode", "share", "standard_error"], orient="row")
    return Outcome(_shares(data, len(g)), data, _shares_figure(data, settings))


def _modes(depth: int, budget: float) -> dict[str, Tensor]:
    modes = {UNIFORM: law(UNIFORM, depth, budget).survival}
    if budget > 0.5:  # linear decay cannot go below about one half
        modes[LINEAR] = law(LINEAR, depth, budget).survival
    return modes


def _share_of_largest(g: Tensor, p: Tensor, budget: float) -> tuple[float, float]:
    """Return the regulariser at p over the largest possible, and its error by the jackknife."""
    groups = g.tensor_split(min(GROUPS, len(g)))
    sums = torch.stack([group.sum(0) for group in groups])
    left_out = [_share(sums.sum(0) - one, p, budget) for one in sums]
    spread = torch.tensor(left_out, dtype=g.dtype)
    error = (len(groups) - 1) * float(spread.var(correction=0))
    return _share(sums.sum(0), p, budget), error**0.5


def _share(g: Tensor, p: Tensor, budget: float) -> float:
    best = budgets.max_regularization(g, budget)
    return float((p * (1 - p) * g).sum() / (best * (1 - best) * g).sum())


def _shares(data: pl.DataFrame, draws: int) -> dict[str, Measurement]:
    return {
        f"{row['mode']}, budget {row['budget']:g}: share of the largest regulariser": Measurement(
            row["share"], row["standard_error"], draws
        )
        for row in data.filter(mode=UNIFORM).iter_rows(named=True)
    }


def _shares_figure(data: pl.DataFrame, settings: WeightSettings) -> Figure:
    chart = (
        alt.Chart(data)
        .mark_line(point=True)
        .encode(
            x=alt.X("budget:Q", title="budget", scale=alt.Scale(zero=False)),
            y=alt.Y("share:Q", title="regulariser, of the largest", scale=alt.Scale(zero=False)),
            color=by_mode(UNIFORM, LINEAR),
        )
    )
    caption = (
        "Regulariser of each mode as a share of the largest at that budget, under the mean of "
        f"g_l over {settings.draws} draws of the weights. Stable ResNet of depth "
        f"{settings.depth} and width {settings.width} at initialisation."
    )
    return Figure("theorem1", "Uniform survival regularises most", caption, caption, chart)


theorem1 = Artefact(
    name="hayou2021/theorem1",
    source=THEOREM1,
    claims=tuple(
        Claim(
            f"uniform, budget {budget:g}: share of the largest regulariser",
            1.0,
            THEOREM1,
            tolerance=0.01,
            relation=">=",
        )
        for budget in BUDGETS
    ),
    profiles={
        "smoke": WeightSettings(depth=8, width=32, draws=6, samples=4),
        "cpu": WeightSettings(draws=60),
        "paper": WeightSettings(),
    },
    run=compare_modes,
)
"""Theorem 1: at initialisation uniform survival has the largest regulariser on average."""
