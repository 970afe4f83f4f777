"""The words, the table and the figures of a diagnosis."""

from collections.abc import Iterator

import torch

from ..budgets import depth_interval, depth_variance, expected_depth
from ..experiments import RunDiagnosis
from ..theory import adjust
from . import charts
from ._figure import Figure
from ._tables import Table
from ._words import counted, listing

SIGNIFICANT = 0.05


def sentences(found: RunDiagnosis) -> list[str]:
    """Return what was found, one sentence each."""
    return [_loss(found), *_ends(found), _depth(found), *_noise(found), _growth(found)]


def blocks_table(found: RunDiagnosis) -> Table:
    """Return one row per block, the dearest first."""
    theory, order = found.theory, found.theory.ranking.tolist()
    columns = ("rank", "block", "path", "survival", "cost", "−S", "|ζ|", "g")
    rows = tuple(
        (
            str(rank),
            str(index),
            str(found.blocks[index]),
            f"{theory.law.survival[index]:.3f}",
            f"{theory.cost[index]:+.4f}",
            f"{-theory.sensitivities[index]:+.4f}",
            f"{theory.discrepancy[index]:.3g}",
            f"{theory.regularizer[index]:.3g}",
        )
        for rank, index in enumerate(order, start=1)
    )
    title = "Blocks, the dearest first: cost is what leaving one out adds to the loss, in nats"
    return Table(title, columns, rows)


def diagnosis_figures(found: RunDiagnosis) -> Iterator[Figure]:
    """Yield the figures; those of noise where there is some."""
    source = _source(found)
    costs = found.theory.cost
    dearest = f"block {int(costs.argmax())} adds {float(costs.max()):.4g}"
    yield Figure(
        "costs",
        "What each block is worth",
        "Bars: what leaving out the block adds to the loss, exactly; below 0 it is better "
        f"without. Points: first order, −S_l. {source}",
        f"Bars by block. The dearest, {dearest} nats.",
        charts.block_costs(found),
    )
    yield Figure(
        "discrepancies",
        "How far each block moves the output",
        f"Root mean square of the information discrepancy zeta_l, the derivative of the outputs "
        f"in the gate. {source}",
        f"Bars by block, from {float(found.theory.discrepancy.min()):.3g} to "
        f"{float(found.theory.discrepancy.max()):.3g}.",
        charts.discrepancies(found),
    )
    yield Figure(
        "gradients",
        "Growth of the gradient",
        f"Squared norm of the loss gradient after each block, relative to the last. {source} "
        + _growth(found),
        _growth(found),
        charts.gradient_growth(found),
    )
    if found.theory.noise is not None:
        yield from _noise_figures(found, source)


def _noise_figures(found: RunDiagnosis, source: str) -> Iterator[Figure]:
    yield Figure(
        "regularizers",
        "What randomness adds",
        f"Half of Var(d_l) g_l: the part of block l in the explicit regulariser. {source}",
        f"Bars by block; their sum is {_added(found):.4g} nats.",
        charts.regularizers(found),
    )
    yield Figure(
        "noise",
        "Noise on the outputs",
        "Standard deviation of each output over masks, against its first-order prediction; on "
        f"the dashed line they are equal. {source}",
        " ".join(_noise(found)),
        charts.noise_sizes(found),
    )
    yield Figure(
        "normality",
        "Is the noise Gaussian?",
        "p values of one Shapiro-Wilk test for each output, not corrected for their number. "
        f"Gaussian noise would make them uniform, 5 % in each bar. {source}",
        " ".join(_noise(found)),
        charts.p_values(found),
    )
    yield Figure(
        "effective-depth",
        "Effective depth",
        "Probability of each number of live blocks, for independent gates of these survival "
        "probabilities.",
        _depth(found),
        charts.effective_depth(found),
    )


def _source(found: RunDiagnosis) -> str:
    return f"{counted(found.samples, f'{found.images} image')}, step {found.restored.step:,}."


def _loss(found: RunDiagnosis) -> str:
    theory = found.theory
    said = f"On {found.samples} {found.images} images the loss is {theory.loss:.4f} nats"
    if theory.noise is None:
        return f"{said}. No gate is random."
    value, error = theory.expected_loss
    return (
        f"{said}; under random gates it is {value:.4f} ± {error:.4f} on average "
        f"({counted(found.masks, 'mask')}), {theory.second_order:.4f} by the expansion to "
        "second order."
    )


def _ends(found: RunDiagnosis) -> list[str]:
    order, cost = found.theory.ranking.tolist(), found.theory.cost
    named = [f"{found.blocks[i]} ({float(cost[i]):+.4f})" for i in order]
    worse = int((cost < 0).sum())
    ends = f"Leaving out {listing(named[:3])} costs most, {listing(named[-3:])} least."
    if worse == 0:
        return [f"{ends} None of them is better left out."]
    return [f"{ends} Without {counted(worse, 'block')} the loss would be lower."]


def _depth(found: RunDiagnosis) -> str:
    p = found.theory.law.survival
    mean, number = expected_depth(p), len(p)
    if found.theory.noise is None:
        return f"All {number} blocks always run."
    half = depth_interval(p, SIGNIFICANT)
    deviation = float(depth_variance(p)) ** 0.5
    return (
        f"Effective depth: {float(mean):.2f} of {number} blocks on average, standard deviation "
        f"{deviation:.2f} for independent gates; Lemma 1 bounds the 95 % deviation by {half:.2f}."
    )


def _noise(found: RunDiagnosis) -> list[str]:
    noise = found.theory.noise
    if noise is None:
        return []
    ratio = float((noise.measured / noise.predicted).median())
    rejected = float((noise.p_value < SIGNIFICANT).double().mean())
    corrected = int((adjust(noise.p_value) < SIGNIFICANT).sum())
    number = len(noise.p_value)
    return [
        f"Noise on the outputs: standard deviation measured ÷ predicted {ratio:.3f} (median).",
        f"Of {number:,} tests of normality {rejected:.1%} reject at 5 %; {corrected:,} after "
        f"Holm's correction. The largest block makes {float(noise.lindeberg.median()):.1%} of "
        "the sum of squares (median), which must be small for the noise to be Gaussian.",
    ]


def _growth(found: RunDiagnosis) -> str:
    measured = float(found.growth.log[0]) / torch.tensor(10.0).log().item()
    said = f"Backwards through all blocks the squared gradient grows by 10^{measured:.2f}"
    if found.predicted_growth is None:
        return f"{said}. Proposition 1 does not apply to this network."
    predicted = float(found.predicted_growth[0]) / torch.tensor(10.0).log().item()
    return f"{said}; Proposition 1 predicts 10^{predicted:.2f} at initialisation."


def _added(found: RunDiagnosis) -> float:
    variance = found.theory.law.variance
    return float((0.5 * variance * found.theory.regularizer.double()).sum())
