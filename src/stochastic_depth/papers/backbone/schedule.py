"""Sections 3 and 4: the schedule of the ResNet-50, and the blocks that never drop."""

from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from torchvision.models import resnet50

from ... import gates
from ...reports import Figure
from ...schedules import linear
from ...surgery import apply
from .._artefact import Artefact, Claim, Context, Measurement, Outcome

SOURCE = "Stochastic Depth — Training a Deep Network That's Sometimes Shallow"

# Printed to three places: survival by block, counted from 0.
PRINTED = {0: 1.000, 3: 0.960, 5: 0.933, 8: 0.893, 11: 0.853, 13: 0.827, 15: 0.800}
ALWAYS = "blocks with a projection, which always run"
LAST = "share of steps that skip the last block"
SCHEDULE = linear(0.8, rule="linspace")


@dataclass(frozen=True)
class Settings:
    """How many steps are drawn."""

    steps: int = 20_000


def run(settings: Settings, context: Context) -> Outcome:
    """Put the schedule on torchvision's network, and draw gates."""
    handle = apply(resnet50(), SCHEDULE, seed=context.seed)
    generator = gates.stream(context.seed, step=0)
    draws = torch.stack([handle.law.sample(generator=generator) for _ in range(settings.steps)])
    survival, skipped = SCHEDULE(len(handle.blocks)), (draws == 0).double().mean(0)
    rows = [
        (block.index, block.path, block.droppable, float(survival[block.index]), float(share))
        for block, share in zip(handle.blocks, skipped, strict=True)
    ]
    columns = ["block", "path", "droppable", "survival", "skipped"]
    data = pl.DataFrame(rows, schema=columns, orient="row")
    return Outcome(_found(data, settings), data, _figure(data), NOTES)


def _keep(block: int) -> str:
    return f"keep probability of block {block} in the schedule"


def _found(data: pl.DataFrame, settings: Settings) -> dict[str, Measurement]:
    share = data["skipped"][-1]
    error = (share * (1 - share) / settings.steps) ** 0.5
    return {
        **{_keep(block): Measurement(data["survival"][block]) for block in PRINTED},
        ALWAYS: Measurement(float((~data["droppable"]).sum())),
        LAST: Measurement(share, error, settings.steps),
    }


NOTES = (
    "The source calls its 16 blocks those of layer2, layer3 and layer4; a ResNet-50 has 13 there, "
    "and 16 with layer1, which is what its table is computed for.",
    "Blocks 0, 3 and 13 of the printed table have a projection, so that by the source's own "
    "section 4 they always run: 14.71 of 16 blocks are expected to run, not the 14.4 of the table.",
)


def _figure(data: pl.DataFrame) -> Figure:
    base = alt.Chart(data).encode(x=alt.X("block:O", title="block", axis=alt.Axis(labelAngle=0)))
    bars = base.mark_bar(opacity=0.6).encode(
        y=alt.Y("skipped:Q", title="share of steps that skip it"),
        tooltip=["block", "path", "survival", "skipped"],
    )
    wanted = (
        base.transform_calculate(drop="1 - datum.survival")
        .mark_tick(thickness=2)
        .encode(y="drop:Q", tooltip=["block", "survival"])
    )
    caption = (
        "Bars: share of training steps in which a block of torchvision's ResNet-50 was skipped. "
        "Ticks: the schedule alone. Blocks 0, 3, 7 and 13 have a projection and always run."
    )
    chart = alt.LayerChart(layer=[bars, wanted])
    return Figure("section3", "Skipped blocks", caption, caption, chart)


section3 = Artefact(
    name="backbone/section3",
    source=f"{SOURCE}, sections 3 and 4",
    claims=(
        *(Claim(_keep(block), p, f"{SOURCE}, section 3", 0.0005) for block, p in PRINTED.items()),
        Claim(ALWAYS, 4.0, f"{SOURCE}, section 4: the first block of each of four layers"),
        Claim(LAST, 0.2, f"{SOURCE}, section 3: one step in five", 0.01),
    ),
    profiles={"smoke": Settings(200), "cpu": Settings(), "paper": Settings()},
    run=run,
)
"""Section 3: how often each block of the ResNet-50 is skipped."""
