"""The replication on handwritten digits: a residual network of six blocks, cut short."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ... import curricula, schedules
from ...surgery import Handle, apply, gated
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._subsets import (
    CONSTANT,
    DECREASING,
    DENSE,
    REPLICATION,
    SCHEMA,
    claims,
    figure,
    measured,
    notes,
    paired,
    prefix_losses,
    subset_losses,
)

BLOCKS, WIDTH = 6, 64
SPLIT_SEED = 913071  # of the replication: 1,078 training, 359 validation, 360 test images
FIRST_SEED = 2701
SMALL = "dense, three blocks"

Splits = dict[str, tuple[Tensor, Tensor]]


class Variant(NamedTuple):
    """How many blocks, and the largest rate, which falls with time or stands."""

    blocks: int = BLOCKS
    largest: float = 0.0
    falls: bool = False


VARIANTS = {
    DENSE: Variant(),
    CONSTANT: Variant(largest=0.4),
    DECREASING: Variant(largest=0.8, falls=True),
    SMALL: Variant(blocks=3),
}


@dataclass(frozen=True)
class Settings:
    """Length of training, and seeds."""

    steps: int = 600
    batch_size: int = 128
    rate: float = 3e-4
    seeds: int = 5


class Block(nn.Module):
    """x + F(x), F normalised first."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the next state."""
        return x + self.branch(x)


class Classifier(nn.Module):
    """Pixels to ten logits; networks of one seed begin alike, however many blocks are kept."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.embed = nn.Linear(64, WIDTH)
        whole = [Block() for _ in range(BLOCKS)]
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)
        self.blocks = nn.Sequential(*whole[:blocks])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.norm(self.blocks(self.embed(x))))
        return logits


def run(settings: Settings, context: Context) -> Outcome:
    """Train every variant with every seed, and test every subset of its blocks."""
    splits, rows = _splits(), []
    first = FIRST_SEED + context.seed * settings.seeds
    cases = [(name, first + seed) for seed in range(settings.seeds) for name in VARIANTS]
    for name, seed in context.track(cases, "networks"):
        model, seconds = _trained(VARIANTS[name], seed, settings, splits)
        for row in subset_losses(_test_loss(model, *splits["test"]), VARIANTS[name].blocks):
            rows.append({"variant": name, "seed": seed, **row, "seconds": seconds})
    data = pl.DataFrame(rows, schema=SCHEMA)
    title = "A classifier of digits, cut short"
    chart = figure(data, "digits", title, "on 360 digits")
    return Outcome(_found(data), data, chart, (*notes(data), *REMARKS))


def _test_loss(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    f = gated(model)
    return lambda gates: cross_entropy(f(x, gates), y)


REMARKS = (
    "Seconds are processor time: a busy machine does not add to them.",
    "Blocks that are dropped do not run: the samples for which a block runs are gathered. At this "
    "width, of 64, gathering costs more than it saves.",
    "Seeds of weights and of batches, split and protocol are the replication's; gates are drawn "
    "by this library, so that it is close to the same experiment and no independent one.",
)


def _splits() -> Splits:
    """Return the replication's stratified split, normalised by its training part."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32)
    y = torch.tensor(digits.target, dtype=torch.int64)
    train, held = train_test_split(
        range(len(y)), test_size=0.4, stratify=y, random_state=SPLIT_SEED
    )
    _, test = train_test_split(held, test_size=0.5, stratify=y[held], random_state=SPLIT_SEED + 1)
    mean, std = x[train].mean(0), x[train].std(0, correction=0)
    x = (x - mean) / std.where(std >= 1e-6, 1.0)
    return {"train": (x[train], y[train]), "test": (x[test], y[test])}


def _trained(
    variant: Variant, seed: int, settings: Settings, splits: Splits
) -> tuple[nn.Module, float]:
    """Return a trained network in evaluation mode, and the processor time of its training."""
    torch.manual_seed(seed)
    model, (x, y) = Classifier(variant.blocks), splits["train"]
    handle, curriculum = _dropping(model, variant, seed, x[:2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed + 100_000)
    shape = (settings.steps, settings.batch_size)
    batches = torch.randint(len(x), shape, generator=generator)
    start, last = time.process_time(), max(settings.steps - 1, 1)
    for step, rows in enumerate(batches):
        if handle is not None:
            handle.step, handle.survival = step, curriculum(step / last)
        falling = (1 + math.cos(math.pi * step / last)) / 2
        optimizer.param_groups[0]["lr"] = settings.rate * (0.1 + 0.9 * falling)
        optimizer.zero_grad()
        cross_entropy(model(x[rows]), y[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), time.process_time() - start


def _dropping(
    model: nn.Module, variant: Variant, seed: int, example: Tensor
) -> tuple[Handle | None, curricula.Curriculum]:
    """Put the gates of a variant on its network; a dense one stays as it is."""
    survival = schedules.linear(1 - variant.largest, rule="linspace")(variant.blocks)
    curriculum = curricula.early(survival, 1.0) if variant.falls else curricula.constant(survival)
    if not variant.largest:
        return None, curriculum
    handle = apply(
        model,
        survival,
        per="sample",
        scale="branch",
        dropped_grads="zero",
        execution="gather",
        seed=seed,
        example=example,
    )
    return handle, curriculum


WHOLE = "loss of the whole dense network, nats"


def _smaller(variant: str) -> str:
    return f"loss of three dense blocks less that of the first three of {variant}, nats"


def _found(data: pl.DataFrame) -> dict[str, Measurement]:
    small = prefix_losses(data, SMALL, 3)
    found = {
        _smaller(variant): paired(small, prefix_losses(data, variant, 3))
        for variant in (CONSTANT, DECREASING)
    }
    dense = list(prefix_losses(data, DENSE, BLOCKS).values())
    found[WHOLE] = Measurement.of(dense) if len(dense) > 1 else None
    known = {name: value for name, value in found.items() if value is not None}
    return measured(data, (CONSTANT, DECREASING), BLOCKS) | known


digits = Artefact(
    name="elhoushi2026/digits",
    source="Elhoushi et al. 2026, section 8.1, as replicated by gradient-dissent on digits",
    claims=(
        *claims(
            {CONSTANT: (-0.0659, -0.0016), DECREASING: (-0.0677, 0.0000)},
            half_width=0.0185,
            close=0.02,
        ),
        Claim(WHOLE, 0.0800, REPLICATION, tolerance=0.02),
        *(
            Claim(_smaller(variant), 0.0, f"{REPLICATION}: {numbers}", relation="<=")
            for variant, numbers in {
                CONSTANT: "0.0828 against 0.1188",
                DECREASING: "0.0828 against 0.1087",
            }.items()
        ),
    ),
    profiles={"smoke": Settings(4, 32, seeds=1), "cpu": Settings(), "paper": Settings()},
    run=run,
)
"""A classifier of digits: what is left of it if only its first blocks run."""
