"""Figure 1b: stochastic depth shortens training, dropout lengthens it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ... import gates
from ...models import CifarResNet
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._modes import UNIFORM, law

SOURCE = "Hayou & Ayed 2021, figure 1b"
BUDGETS = (0.3, 0.5, 0.7, 0.9)
IMAGES, EPOCHS = 50_000, 100

NOTES = (
    "Time of a step on this machine, random images: the time does not depend on what they show. "
    "CPU time of the process, so that other programs do not count.",
    "Dropout masks every neuron after the first normalisation of a branch, with the survival "
    "probability that is the budget of stochastic depth beside it.",
)


@dataclass(frozen=True)
class Settings:
    """ResNet-56; each kind of training runs one step per round, in turn."""

    depth: int = 56
    batch_size: int = 128
    image_size: int = 32
    rounds: int = 30


def run(settings: Settings, context: Context) -> Outcome:
    """Time one step of training after another, all kinds in turn."""
    torch.manual_seed(context.seed)
    shape = (settings.batch_size, 3, settings.image_size, settings.image_size)
    x, y = torch.randn(shape), torch.randint(0, 10, (settings.batch_size,))
    steps = _steps(settings, x, y, context.seed)
    rows = [
        (round_number, kind, budget, _seconds(step, round_number))
        for round_number in context.track(range(-1, settings.rounds), "training steps")
        for (kind, budget), step in steps.items()
    ]
    columns = ["round", "kind", "budget", "seconds"]
    data = pl.DataFrame(rows, schema=columns, orient="row").filter(pl.col("round") >= 0)
    return Outcome(_measurements(data), data, _figure(data, settings), NOTES)


Step = Callable[[int], None]


def _steps(settings: Settings, x: Tensor, y: Tensor, seed: int) -> dict[tuple[str, float], Step]:
    """Return one step of each kind of training, by kind and budget."""
    plain = _step(CifarResNet(settings.depth, 10), None, x, y, seed)
    steps = {("constant depth", 1.0): plain}
    for budget in BUDGETS:
        dropout = _with_dropout(CifarResNet(settings.depth, 10), 1 - budget)
        steps["dropout", budget] = _step(dropout, None, x, y, seed)
        network = CifarResNet(settings.depth, 10)
        bernoulli = law(UNIFORM, len(network.blocks), budget)
        steps["stochastic depth", budget] = _step(network, bernoulli, x, y, seed)
    return steps


def _with_dropout(model: CifarResNet, p: float) -> CifarResNet:
    for block in model.blocks:
        activation = nn.Sequential(nn.ReLU(), nn.Dropout(p))
        block.set_submodule("branch.2", activation)
    return model


def _step(
    model: nn.Module, bernoulli: gates.Bernoulli | None, x: Tensor, y: Tensor, seed: int
) -> Step:
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)

    def step(number: int) -> None:
        generator = gates.stream(seed, number)
        masks = None if bernoulli is None else bernoulli.sample(generator=generator)
        optimizer.zero_grad()
        cross_entropy(model(x, masks), y).backward()
        optimizer.step()

    return step


def _seconds(step: Step, round_number: int) -> float:
    start = time.process_time()
    step(max(round_number, 0))
    return time.process_time() - start


def _measurements(data: pl.DataFrame) -> dict[str, Measurement]:
    constant = _times(data, "constant depth", 1.0)
    return {
        f"{kind}, {budget:g}: time of a step, of constant depth": Measurement.of(
            _times(data, kind, budget) / constant.mean()
        )
        for kind in ("dropout", "stochastic depth")
        for budget in BUDGETS
    }


def _times(data: pl.DataFrame, kind: str, budget: float) -> Tensor:
    times = data.filter(kind=kind, budget=budget).sort("round")["seconds"].to_list()
    return torch.tensor(times, dtype=torch.float64)


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    hours = IMAGES / settings.batch_size * EPOCHS / 3600
    means = data.group_by("kind", "budget").agg((pl.col("seconds").mean() * hours).alias("hours"))
    kinds = ["constant depth", "dropout", "stochastic depth"]
    baseline = means.filter(kind="constant depth")
    x = alt.X("budget:Q", title="survival probability", scale=alt.Scale(zero=False))
    y = alt.Y("hours:Q", title=f"CPU hours of {EPOCHS} epochs on {IMAGES:,} images")
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds))
    chart = alt.LayerChart(
        layer=[
            alt.Chart(baseline).mark_rule(strokeDash=[6, 3]).encode(y=y, color=colour),
            alt.Chart(means.filter(pl.col("kind") != "constant depth").sort("budget"))
            .mark_line(point=True)
            .encode(x=x, y=y, color=colour),
        ]
    )
    caption = (
        f"Training time of ResNet-{settings.depth}, batches of {settings.batch_size}, from "
        f"{settings.rounds} steps of each kind. A dropped block is not computed; a dropped "
        "neuron is, and its mask is drawn besides."
    )
    return Figure("figure1b", "Time of training", caption, caption, chart)


figure1b = Artefact(
    name="hayou2021/figure1b",
    source=SOURCE,
    claims=(
        *(
            Claim(f"dropout, {budget:g}: time of a step, of constant depth", 1.0, SOURCE, 0.0, ">=")
            for budget in BUDGETS
        ),
        *(
            Claim(
                f"stochastic depth, {budget:g}: time of a step, of constant depth",
                1.0,
                SOURCE,
                0.0,
                "<=",
            )
            for budget in BUDGETS
        ),
    ),
    profiles={
        "smoke": Settings(depth=8, batch_size=4, image_size=8, rounds=2),
        "cpu": Settings(rounds=8),
        "paper": Settings(),
    },
    run=run,
)
"""Figure 1b: stochastic depth shortens training, dropout lengthens it."""
