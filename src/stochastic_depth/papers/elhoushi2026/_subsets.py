"""What a trained network makes of every nonempty subset of its blocks, and what is said of that."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ...reports import Figure
from .._artefact import Claim, Measurement
from .._experiment import mean

REPLICATION = "gradient-dissent, docs/depth-robustness/report.md"
DENSE, CONSTANT, DECREASING = "dense", "constant", "decreasing"
KEPT = 4
"""Blocks of six that the primary number of the replication keeps: the first four."""

SCHEMA: dict[str, Any] = {
    "variant": pl.String,
    "seed": pl.Int64,
    "subset": pl.String,
    "kept": pl.Int64,
    "prefix": pl.Boolean,
    "loss": pl.Float64,
    "seconds": pl.Float64,
}


@torch.no_grad()
def subset_losses(loss: Callable[[Tensor], Tensor], num_blocks: int) -> Iterator[dict[str, Any]]:
    """Yield the loss of every nonempty subset of the blocks; the others do not run.

    Args:
        loss: gates (L,) -> test loss of a network in evaluation mode.
        num_blocks: L; there are 2^L - 1 subsets.
    """
    for gates in product((1.0, 0.0), repeat=num_blocks):
        kept, name = int(sum(gates)), "".join(str(int(gate)) for gate in gates)
        if kept:
            prefix = name.rstrip("0") == "1" * kept
            value = float(loss(torch.tensor(gates)))
            yield {"subset": name, "kept": kept, "prefix": prefix, "loss": value}


def prefix_losses(data: pl.DataFrame, variant: str, kept: int) -> dict[int, float]:
    """Return by seed the loss of the first `kept` blocks of the networks of a variant."""
    rows = data.filter(pl.col("prefix"), variant=variant, kept=kept).select("seed", "loss")
    return {int(seed): float(loss) for seed, loss in rows.sort("seed").rows()}


def excess(data: pl.DataFrame, variant: str, blocks: int) -> dict[int, float]:
    """Return by seed how much the loss rises if only the first four blocks run."""
    whole, cut = (prefix_losses(data, variant, kept) for kept in (blocks, KEPT))
    return {seed: cut[seed] - whole[seed] for seed in whole}


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Measurement | None:
    """Return the mean of the differences of two variants, seed by seed."""
    return mean([first[seed] - second[seed] for seed in first if seed in second])


def excess_less_dense(variant: str) -> str:
    """Return the name of the claim about four blocks of six."""
    return f"excess loss of the first {KEPT} blocks, {variant} less dense, nats"


def whole_less_dense(variant: str) -> str:
    """Return the name of the claim about the whole network."""
    return f"loss of the whole network, {variant} less dense, nats"


def measured(data: pl.DataFrame, variants: Sequence[str], blocks: int) -> dict[str, Measurement]:
    """Return what is measured of each variant against the dense network of as many blocks."""
    found: dict[str, Measurement | None] = {}
    for variant in variants:
        found[excess_less_dense(variant)] = paired(
            excess(data, variant, blocks), excess(data, DENSE, blocks)
        )
        found[whole_less_dense(variant)] = paired(
            prefix_losses(data, variant, blocks), prefix_losses(data, DENSE, blocks)
        )
    return {name: value for name, value in found.items() if value is not None}


def claims(
    published: Mapping[str, tuple[float, float]], half_width: float, close: float
) -> Iterator[Claim]:
    """Yield the claims about variants that drop.

    Args:
        published: by variant, the paired differences of excess loss, and of the whole network.
        half_width: of the published intervals of the former; twice that agrees.
        close: a difference of whole networks that counts as none.
    """
    for variant, (difference, _) in published.items():
        source = f"{REPLICATION}: 5 seeds, paired"
        yield Claim(excess_less_dense(variant), difference, source, tolerance=2 * half_width)
    for variant, (_, whole) in published.items():
        source = f"{REPLICATION}: the means differ by {whole:+.4f}, within the noise of 5 seeds"
        yield Claim(whole_less_dense(variant), 0.0, source, tolerance=close)


def notes(data: pl.DataFrame) -> tuple[str, ...]:
    """Return losses and seconds of every variant in sentences."""
    return tuple(_note(data, variant) for variant in data["variant"].unique(maintain_order=True))


def _note(data: pl.DataFrame, variant: str) -> str:
    own = data.filter(variant=variant)
    blocks = int(own["kept"].max())  # type: ignore[arg-type]
    losses = [
        f"{_mean(list(prefix_losses(data, variant, kept).values())):.4f} of the first {kept}"
        for kept in range(blocks - 1, 2, -1)
    ]
    whole = _mean(list(prefix_losses(data, variant, blocks).values()))
    seconds = _mean(own.group_by("seed").first()["seconds"].to_list())
    parts = ", ".join([f"{whole:.4f} of all {blocks} blocks", *losses])
    return f"{variant}: loss {parts}; trained in {seconds:.2f} s."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def figure(data: pl.DataFrame, name: str, title: str, where: str) -> Figure:
    """Return the loss by blocks kept: of prefixes, and the range of all subsets."""
    means = (
        data.group_by("variant", "kept", "subset", "prefix", maintain_order=True)
        .agg(pl.col("loss").mean())
        .sort("variant", "kept")
    )
    base = alt.Chart(means).encode(
        x=alt.X("kept:O", title="blocks that run", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("loss:Q", title="test loss, nats", scale=alt.Scale(type="log", nice=False)),
        color=alt.Color("variant:N", title=None, sort=None, legend=alt.Legend(symbolOpacity=1)),
        tooltip=["variant", "subset", alt.Tooltip("loss:Q", format=".4f")],
    )
    lines = base.transform_filter("datum.prefix").mark_line(point=True)
    points = base.mark_point(size=12, opacity=0.35)
    caption = (
        f"Test loss {where} by the number of blocks that run, mean over seeds. Lines: the first "
        "blocks. Points: every subset."
    )
    return Figure(name, title, caption, caption, alt.LayerChart(layer=[points, lines]))
