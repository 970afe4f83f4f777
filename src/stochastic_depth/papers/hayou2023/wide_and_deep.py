"""Two inputs of a wide and deep network with gates: norms and correlation against their limit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ... import theory
from ...gates import Bernoulli, stream
from ...reports import Figure
from ...schedules import uniform
from .._artefact import Artefact, Claim, Context, Measurement, Outcome

SOURCE = "after Hayou & Yang 2023, with the gates of Huang et al. 2016"
DERIVED = "limit of width and depth, derived in theory.wide_limit"
SURVIVALS = (0.3, 0.5, 0.8)
START = 0.3
"""Correlation of the two inputs."""
LIMIT_DEPTH = 20_000
"""At which the recursion over depth is its limit to four digits."""
TOLERANCE = 0.05
"""Of the stated number. Gates per batch and per sample differ by 25 to 126 % of it."""

Per = Literal["batch", "sample"]
Pair = tuple[Per, float]
"""How two inputs are given gates, and their correlation at the start."""

PAIRS: tuple[Pair, ...] = (("batch", START), ("sample", START), ("sample", 1.0))


@dataclass(frozen=True)
class Settings:
    """Independent networks of one width and depth."""

    depth: int = 200
    width: int = 400
    networks: int = 400


@torch.no_grad()
def run(settings: Settings, context: Context) -> Outcome:
    """Send pairs of inputs through networks, all gates and survivals through the same weights."""
    numbers = range(context.seed * settings.networks, (context.seed + 1) * settings.networks)
    drawn = [_products(settings, n) for n in context.track(numbers, "wide networks")]
    products = torch.stack(drawn).double()  # (networks, L+1, survivals, pairs, [aa, bb, ab])
    measurements, notes = {}, []
    for place, survival in enumerate(SURVIVALS):
        found = _measured(products[:, -1, place])
        for name, measurement in found.items():
            measurements[f"{name}, p = {survival}"] = measurement
        notes.append(_at_this_depth(found, survival, settings.depth))
    data = _table(products)
    return Outcome(measurements, data, _figure(data, settings), tuple(notes))


def _products(settings: Settings, number: int) -> Tensor:
    """Return the mean products of both states after each block of one network."""
    generator = stream(number, 0)
    gates = torch.stack([_gates(settings.depth, p, generator) for p in SURVIVALS], dim=1)
    hidden = _inputs(settings.width, generator).expand(len(SURVIVALS), -1, -1, -1)
    states = [_inner(hidden)]
    for gate in gates:  # (survivals, pairs, 2)
        weight = torch.randn(settings.width, settings.width, generator=generator)
        branch = torch.relu(hidden) @ weight / math.sqrt(settings.width * settings.depth)
        hidden = hidden + gate[..., None] * branch
        states.append(_inner(hidden))
    return torch.stack(states)


def _gates(depth: int, survival: float, generator: torch.Generator) -> Tensor:
    """Return gates of shape (L, pairs, 2): one draw for both inputs per batch, else two."""
    law = Bernoulli(uniform(survival)(depth), rescale="train")
    shared, *apart = (law.sample(2, generator=generator).float() for _ in PAIRS)
    return torch.stack([shared[:, :1].expand(-1, 2), *apart], dim=1)


def _inputs(width: int, generator: torch.Generator) -> Tensor:
    """Return pairs of inputs of mean square 1 and exactly the wanted correlation."""
    basis, _ = torch.linalg.qr(torch.randn(width, 2, generator=generator))
    a, other = basis.T * math.sqrt(width)
    pairs = [torch.stack([a, c * a + math.sqrt(1 - c * c) * other]) for _, c in PAIRS]
    return torch.stack(pairs)


def _inner(hidden: Tensor) -> Tensor:
    a, b = hidden.unbind(-2)
    return torch.stack([(a * a).mean(-1), (b * b).mean(-1), (a * b).mean(-1)], dim=-1)


def _names() -> Iterator[tuple[str, Pair]]:
    yield "norm q_aa", PAIRS[0]
    yield "product q_ab, gates per batch", PAIRS[0]
    yield "product q_ab, gates per sample", PAIRS[1]
    yield "product of two copies, gates per sample", PAIRS[2]


def _measured(products: Tensor) -> dict[str, Measurement]:
    """Return what each claim is about, of products of shape (networks, pairs, 3)."""
    found = {}
    for name, pair in _names():
        aa, bb, ab = products[:, PAIRS.index(pair)].unbind(-1)
        found[name] = Measurement.of(((aa + bb) / 2 if "norm" in name else ab).numpy())
    return found


def predicted(name: str, survival: float, depth: int) -> float:
    """Return the limit of width at a depth for one of the measured numbers."""
    per, correlation = dict(_names())[name]
    law = Bernoulli(uniform(survival)(depth), rescale="train")
    growth, correlations = theory.wide_limit(correlation, law, per=per)
    return float(growth[-1] * (1 if "norm" in name else correlations[-1]))


def _at_this_depth(found: dict[str, Measurement], survival: float, depth: int) -> str:
    """Say how far the measurements are from the recursion at the depth they were made at."""
    apart = (
        f"{name} {(m.value - predicted(name, survival, depth)) / m.standard_error:+.1f}"
        for name, m in found.items()
    )
    return f"p = {survival}, distance to the same at {depth} blocks: {', '.join(apart)} s.e."


def _table(products: Tensor) -> pl.DataFrame:
    rows = []
    depth = products.shape[1] - 1
    aa, bb, ab = products.unbind(-1)
    correlation = ab / (aa * bb).sqrt()
    for place, survival in enumerate(SURVIVALS):
        law = Bernoulli(uniform(survival)(depth), rescale="train")
        for column, (per, start) in enumerate(PAIRS):
            limit = theory.wide_limit(start, law, per=per).correlation.tolist()
            drawn = correlation[:, :, place, column]
            spread = drawn.std(0).tolist()
            for layer, mean in enumerate(drawn.mean(0).tolist()):
                rows.append((survival, per, start, layer, mean, spread[layer], limit[layer]))
    names = ["survival", "per", "start", "layer", "correlation", "deviation", "limit"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    labels = {
        ("batch", START): "one draw for both inputs (per batch)",
        ("sample", START): "a draw for each (per sample)",
        ("sample", 1.0): "two copies of one input, a draw for each",
    }
    kinds = [labels[pair] for pair in PAIRS]
    named = data.with_columns(
        kind=pl.struct("per", "start").map_elements(
            lambda row: labels[row["per"], row["start"]], return_dtype=pl.String
        )
    )
    key = alt.Legend(symbolType="stroke", columns=1, labelLimit=400)
    base = alt.Chart(named).encode(
        x=alt.X("layer:Q", title="layer"),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds), legend=key),
        strokeDash=alt.StrokeDash("survival:N", title="p", legend=alt.Legend(symbolType="stroke")),
    )
    y = alt.Y("limit:Q", title="correlation of two states", scale=alt.Scale(domain=[0, 1]))
    every = max(settings.depth // 10, 1)
    points = base.transform_filter(f"datum.layer % {every} == 0").mark_point(filled=True, size=25)
    caption = (
        f"Correlation of the states of two inputs: the limit (lines) and the mean over "
        f"{settings.networks} networks of width {settings.width} and depth {settings.depth} "
        "(points), gates in {0, 1/p}. Per batch inputs become more alike; per sample even two "
        "copies of one input are driven apart."
    )
    chart = base.mark_line().encode(y=y) + points.encode(y="correlation:Q")
    return Figure("wide_and_deep", "Gates per batch and per sample", caption, caption, chart)


wide_and_deep = Artefact(
    name="hayou2023/wide_and_deep",
    source=SOURCE,
    claims=tuple(
        Claim(f"{name}, p = {p}", limit, DERIVED, tolerance=TOLERANCE * limit)
        for p in SURVIVALS
        for name, _ in _names()
        for limit in [predicted(name, p, LIMIT_DEPTH)]
    ),
    profiles={
        "smoke": Settings(depth=20, width=32, networks=4),
        "cpu": Settings(networks=120),
        "paper": Settings(),
    },
    run=run,
)
"""Wide and deep networks with gates: correlations differ between gates per batch and per sample."""
