"""The figures of a diagnosis: what each block does, the noise, the growth of gradients."""

from collections.abc import Iterator

import altair as alt
import numpy as np
import polars as pl
import torch

from ..budgets import depth_distribution
from ..experiments import RunDiagnosis
from ._diagnosis_words import (
    added_in_words,
    depth_in_words,
    growth_in_words,
    noise_in_words,
    source_in_words,
)
from ._figure import Figure
from ._theme import DASHES


def diagnosis_figures(found: RunDiagnosis) -> Iterator[Figure]:
    """Yield the figures; those of noise only if there is some."""
    source = source_in_words(found)
    costs = found.theory.cost
    most = f"block {int(costs.argmax())} adds {float(costs.max()):.4g}"
    yield Figure(
        "costs",
        "What each block is worth",
        "Bars: what leaving out the block adds to the loss, exactly; below 0 it is better "
        f"without. Points: first order, −S_l. {source}",
        f"Bars by block. The most expensive, {most} nats.",
        costs_chart(found),
    )
    yield Figure(
        "discrepancies",
        "How far each block moves the output",
        f"Root mean square of the information discrepancy zeta_l, the derivative of the outputs "
        f"in the gate. {source}",
        f"Bars by block, from {float(found.theory.discrepancy.min()):.3g} to "
        f"{float(found.theory.discrepancy.max()):.3g}.",
        discrepancies_chart(found),
    )
    yield Figure(
        "gradients",
        "Growth of the gradient",
        f"Squared norm of the loss gradient after each block, relative to the last. {source} "
        + growth_in_words(found),
        growth_in_words(found),
        growth_chart(found),
    )
    if found.theory.noise is not None:
        yield from _noise_figures(found, source)


def _noise_figures(found: RunDiagnosis, source: str) -> Iterator[Figure]:
    yield Figure(
        "regularizers",
        "What randomness adds",
        f"Half of Var(d_l) g_l: the part of block l in the explicit regulariser. {source}",
        f"Bars by block; their sum is {added_in_words(found):.4g} nats.",
        regularizers_chart(found),
    )
    yield Figure(
        "noise",
        "Noise on the outputs",
        "Standard deviation of each output over masks, against its first-order prediction; on "
        f"the dashed line they are equal. {source}",
        " ".join(noise_in_words(found)),
        noise_chart(found),
    )
    yield Figure(
        "normality",
        "Is the noise Gaussian?",
        "p values of one Shapiro-Wilk test for each output, not corrected for their number. "
        f"Gaussian noise would make them uniform, 5 % in each bar. {source}",
        " ".join(noise_in_words(found)),
        p_values_chart(found),
    )
    yield Figure(
        "effective-depth",
        "Effective depth",
        "Probability of each number of live blocks, for independent gates of these survival "
        "probabilities.",
        depth_in_words(found),
        effective_depth_chart(found),
    )


PREDICTED, MEASURED = "predicted", "measured"


def costs_chart(found: RunDiagnosis) -> alt.LayerChart:
    """Draw what leaving out each block adds to the loss, exactly and to first order."""
    table = _blocks(found).with_columns(
        first_order=pl.Series((-found.theory.sensitivities).tolist())
    )
    exact = _bars(table, "cost:Q", "added to the loss, nats")
    estimate = (
        alt.Chart(table.with_columns(kind=pl.lit(PREDICTED)))
        .mark_point(filled=True, size=40, opacity=1)
        .encode(x="block:O", y="first_order:Q", color=_kinds(), tooltip=["block", "first_order"])
    )
    return alt.LayerChart(layer=[exact, estimate])


def discrepancies_chart(found: RunDiagnosis) -> alt.LayerChart:
    """Draw the length of the information discrepancy of each block."""
    return alt.LayerChart(layer=[_bars(_blocks(found), "discrepancy:Q", "length of zeta_l")])


def regularizers_chart(found: RunDiagnosis) -> alt.LayerChart:
    """Draw what the randomness of each block adds to the expected loss, at second order."""
    variance = found.theory.law.variance
    table = _blocks(found).with_columns(
        added=pl.Series((0.5 * variance * found.theory.regularizer.double()).tolist())
    )
    return alt.LayerChart(layer=[_bars(table, "added:Q", "added to the expected loss, nats")])


def growth_chart(found: RunDiagnosis) -> alt.Chart:
    """Draw the squared gradient norm before and after each block, relative to the last."""
    curves = {MEASURED: found.growth.log}
    if found.predicted_growth is not None:
        curves[PREDICTED] = found.predicted_growth
    rows = [
        (kind, block, float(value) / np.log(10))
        for kind, curve in curves.items()
        for block, value in enumerate(curve)
    ]
    table = pl.DataFrame(rows, schema=["kind", "block", "growth"], orient="row")
    scale = alt.Scale(domain=[PREDICTED, MEASURED], range=DASHES)
    return (
        alt.Chart(table)
        .mark_line()
        .encode(
            x=alt.X("block:Q", title="after block", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("growth:Q", title="log10 of the squared gradient norm, relative"),
            color=_kinds(sorted(curves)),
            strokeDash=alt.StrokeDash("kind:N", scale=scale, legend=None),
            tooltip=["kind", "block", alt.Tooltip("growth:Q", format=".3f")],
        )
    )


def effective_depth_chart(found: RunDiagnosis) -> alt.Chart:
    """Draw the law of the number of blocks that run."""
    law = depth_distribution(found.theory.law.survival)
    rows = [(depth, 100 * float(p)) for depth, p in enumerate(law) if p > 1e-5]
    table = pl.DataFrame(rows, schema=["depth", "share"], orient="row")
    return (
        alt.Chart(table.with_columns(kind=pl.lit(MEASURED)))
        .mark_bar()
        .encode(
            x=alt.X("depth:O", title="blocks that run"),
            y=alt.Y("share:Q", title="probability, %"),
            color=_kinds([]),
            tooltip=["depth", alt.Tooltip("share:Q", format=".3~g")],
        )
    )


def noise_chart(found: RunDiagnosis) -> alt.LayerChart:
    """Draw the standard deviation of every output over masks against its prediction."""
    noise = found.theory.noise
    assert noise is not None  # noqa: S101  # drawn where there is noise
    names = {"predicted": noise.predicted.tolist(), "measured": noise.measured.tolist()}
    table = pl.DataFrame(names).with_columns(kind=pl.lit(MEASURED))
    top = float(torch.cat([noise.predicted, noise.measured]).max()) * 1.05
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=18, opacity=0.5)
        .encode(
            x=alt.X("predicted:Q", title="predicted", scale=alt.Scale(domain=[0, top])),
            y=alt.Y("measured:Q", title="measured", scale=alt.Scale(domain=[0, top])),
            color=_kinds([]),
        )
    )
    diagonal = alt.Chart(pl.DataFrame({"predicted": [0.0, top], "measured": [0.0, top]}))
    line = diagonal.mark_line(strokeDash=DASHES[0], color="#6b7280", strokeWidth=1.2)
    return alt.LayerChart(layer=[line.encode(x="predicted:Q", y="measured:Q"), points])


def p_values_chart(found: RunDiagnosis) -> alt.Chart:
    """Draw the histogram of the p-values of normality."""
    noise = found.theory.noise
    assert noise is not None  # noqa: S101  # drawn where there is noise
    counts, edges = np.histogram(noise.p_value.numpy(), bins=20, range=(0, 1))
    rows = {
        "low": edges[:-1],
        "high": edges[1:],
        "share": 100 * counts / counts.sum(),
    }
    return (
        alt.Chart(pl.DataFrame(rows).with_columns(kind=pl.lit(MEASURED)))
        .mark_rect()
        .encode(
            x=alt.X("low:Q", title="p value of Shapiro and Wilk", scale=alt.Scale(domain=[0, 1])),
            x2="high:Q",
            y=alt.Y("share:Q", title="share of outputs, %"),
            y2=alt.datum(0),
            color=_kinds([]),
            tooltip=["low", "high", alt.Tooltip("share:Q", format=".3~g")],
        )
    )


def _blocks(found: RunDiagnosis) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "block": range(len(found.blocks)),
            "path": [str(block) for block in found.blocks],
            "cost": found.theory.cost.tolist(),
            "discrepancy": found.theory.discrepancy.tolist(),
        }
    )


def _bars(table: pl.DataFrame, column: str, title: str) -> alt.Chart:
    many = len(table) > 30
    axis = alt.Axis(labelAngle=0, values=list(range(0, len(table), 10 if many else 1)))
    return (
        alt.Chart(table.with_columns(kind=pl.lit(MEASURED)))
        .mark_bar()
        .encode(
            x=alt.X("block:O", title="block", axis=axis),
            y=alt.Y(column, title=title),
            color=_kinds([]),
            tooltip=["block", "path", alt.Tooltip(column, format=".3~g")],
        )
    )


def _kinds(shown: list[str] | None = None) -> alt.Color:
    """Return the colours of predictions (grey) and measurements."""
    scale = alt.Scale(domain=[PREDICTED, MEASURED])
    legend = None
    if shown is None or len(shown) > 1:
        legend = alt.Legend(symbolType="stroke", symbolOpacity=1)
    return alt.Color("kind:N", scale=scale, legend=legend)
