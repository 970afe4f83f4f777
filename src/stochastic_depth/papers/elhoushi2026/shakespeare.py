"""The replication on Tiny Shakespeare: a causal transformer of six blocks, cut short."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch
from torch import Tensor

from ...experiments import Comparison, compare
from ...reports import write_page
from ...surgery import gated
from ...training import RunConfig, load, restore
from ...training.data import Batches
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from .._experiment import kept
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

RECIPE = "elhoushi2026_shakespeare"
FIRST_SEED = 100
ALTERNATING, SMALL = "alternating", "dense, four blocks"
STANDS = {"depth.curriculum": "constant", "depth.until": None}
VARIANTS: dict[str, dict[str, Any]] = {
    DENSE: {"depth.enabled": False},
    CONSTANT: {"depth.last": 0.6, **STANDS},
    DECREASING: {"depth.last": 0.2},
    ALTERNATING: {
        "depth.schedule": "fixed",
        "depth.last": None,
        "depth.probabilities": [1.0, 0.6, 1.0, 0.6, 1.0, 0.6],
        **STANDS,
    },
    SMALL: {"model.init_args.depth": 4, "depth.enabled": False},
}
DROPPING = (CONSTANT, DECREASING, ALTERNATING)

FIELDS: dict[str, Any] = {"threads": 1, "loggers": [], "accelerator": "cpu"}
SMOKE: dict[str, Any] = {
    **FIELDS,
    "model.init_args.width": 8,
    "data.length": 8,
    "data.limit": 8,
    "data.validation": 4,
    "data.test_limit": 4,
    "batch_size": 4,
}


@dataclass(frozen=True)
class Settings:
    """What differs from the recipe, how many seeds, and whether the text is made up."""

    fields: Mapping[str, Any] = field(default_factory=lambda: dict(FIELDS))
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: int = 5
    made_up: bool = False


def run(settings: Settings, context: Context) -> Outcome:
    """Train every variant with every seed, and test every subset of its blocks."""
    first = FIRST_SEED + context.seed * settings.seeds
    with _text(settings, context) as text, kept(context) as directory:
        config = load(RECIPE, {**settings.fields, "data.name": str(text)})
        out = directory / RECIPE
        variants = {name: VARIANTS[name] for name in settings.variants}
        # One at a time: their seconds are compared.
        comparison = compare(
            config, variants, range(first, first + settings.seeds), out, processes=1
        )
        if context.directory is not None:
            write_page(comparison, out / "report.html")
        data = pl.DataFrame(list(_rows(comparison, context)), schema=SCHEMA)
    chart = figure(data, "shakespeare", "A language model, cut short", "on Tiny Shakespeare")
    return Outcome(_found(data), data, chart, (*notes(data), *_remarks(config)))


@contextmanager
def _text(settings: Settings, context: Context) -> Iterator[Path]:
    """Yield where the text is: the recipe's place unless another is given, or one made up."""
    if not settings.made_up:
        yield context.data or Path(load(RECIPE).data.name)
        return
    with TemporaryDirectory() as directory:
        path = Path(directory, "text.txt")
        letters = torch.randint(26, (4000,), generator=torch.Generator().manual_seed(0))
        path.write_bytes(bytes((letters + ord("a")).tolist()))
        yield path


def _rows(comparison: Comparison, context: Context) -> Iterator[dict[str, Any]]:
    runs = [run for run in comparison.runs if run.summary is not None]
    for record in context.track(runs, "networks"):
        restored = restore(record.directory)
        batches = Batches(restored.prepared.splits.test, 64, seed=0, shuffle=False)
        loss = _test_loss(gated(restored.prepared.model, example=batches.batch(0, 0)[0]), batches)
        common = {"variant": record.variant, "seed": record.seed}
        seconds = record.summary.seconds if record.summary else None
        for row in subset_losses(loss, record.num_blocks):
            yield {**common, **row, "seconds": seconds}


def _test_loss(
    f: Callable[[Tensor, Tensor], Tensor], batches: Batches
) -> Callable[[Tensor], Tensor]:
    """Return the function from gates to the mean loss over all tokens; batches are of one size."""

    def loss(gates: Tensor) -> Tensor:
        pairs = [batches.batch(0, index) for index in range(len(batches))]
        found = [
            torch.nn.functional.cross_entropy(f(x, gates).flatten(0, 1), y.flatten())
            for x, y in pairs
        ]
        return torch.stack(found).mean()

    return loss


def _remarks(config: RunConfig) -> tuple[str, ...]:
    return (
        "Blocks that are dropped do not run: the sequences for which a block runs are gathered.",
        f"Against the replication: each of {config.data.limit or 0:,} training sequences is read "
        "once, where its windows are drawn with replacement; weight decay is on all weights and "
        "not on matrices alone. Weights, batches and gates are drawn by this library.",
    )


WHOLE = "loss of the whole dense network, nats"
SMALLER = "loss of four dense blocks less that of the first four of {}, nats"


def _found(data: pl.DataFrame) -> dict[str, Measurement]:
    trained = data["variant"].unique().to_list()
    found = measured(data, [name for name in DROPPING if name in trained], 6)
    dense = list(prefix_losses(data, DENSE, 6).values())
    if len(dense) > 1:
        found[WHOLE] = Measurement.of(dense)
    small = prefix_losses(data, SMALL, 4)
    for variant in (CONSTANT, DECREASING):
        difference = paired(small, prefix_losses(data, variant, 4))
        if difference is not None:
            found[SMALLER.format(variant)] = difference
    return found


shakespeare = Artefact(
    name="elhoushi2026/shakespeare",
    source="Elhoushi et al. 2026, section 8.1, as replicated by gradient-dissent on text",
    claims=(
        *claims(
            {
                CONSTANT: (-0.0465, 0.0000),
                DECREASING: (-0.0433, 0.0066),
                ALTERNATING: (-0.0218, -0.0020),
            },
            half_width=0.0154,
            close=0.03,
        ),
        Claim(WHOLE, 2.1123, REPLICATION, tolerance=0.03),
        *(
            Claim(SMALLER.format(variant), 0.0, f"{REPLICATION}: {numbers}", relation="<=")
            for variant, numbers in {
                CONSTANT: "2.1030 against 2.1156",
                DECREASING: "2.1030 against 2.1254",
            }.items()
        ),
    ),
    profiles={
        "smoke": Settings(SMOKE, (DENSE, DECREASING), seeds=1, made_up=True),
        "cpu": Settings(),
        "paper": Settings(),
    },
    run=run,
)
"""A language model on Tiny Shakespeare: what is left of it if only its first blocks run."""
