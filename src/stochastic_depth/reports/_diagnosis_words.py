"""What a diagnosis found, in sentences and as a table of the blocks."""

import torch

from ..budgets import depth_interval, depth_variance, expected_depth
from ..experiments import SIGNIFICANT, RunDiagnosis
from ..theory import adjust
from ._text_tables import Table
from ._words import counted, listing


def sentences(found: RunDiagnosis) -> list[str]:
    """Return what was found, one sentence each."""
    return [
        _loss(found),
        *_ends(found),
        depth_in_words(found),
        *noise_in_words(found),
        growth_in_words(found),
    ]


def blocks_table(found: RunDiagnosis) -> Table:
    """Return one row per block, most expensive first."""
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
    title = "Blocks, most expensive first: cost is what leaving one out adds to the loss, in nats"
    return Table(title, columns, rows)


def source_in_words(found: RunDiagnosis) -> str:
    return f"{counted(found.samples, f'{found.images} image')}, step {found.restored.step:,}."


def _loss(found: RunDiagnosis) -> str:
    theory = found.theory
    said = f"On {found.samples} {found.images} images the loss is {theory.loss:.4f} nats"
    if theory.noise is None:
        return f"{said}. No gate is random."
    value, error = theory.expected_loss
    return (
        f"{said}; under random gates it is {value:.4f} ± {error:.4f} on average "
        f"({counted(found.masks, 'mask')}), {theory.second_order:.4f} to second order."
    )


def _ends(found: RunDiagnosis) -> list[str]:
    order, cost = found.theory.ranking.tolist(), found.theory.cost
    named = [f"{found.blocks[i]} ({float(cost[i]):+.4f})" for i in order]
    worse = int((cost < 0).sum())
    ends = f"Leaving out {listing(named[:3])} costs most, {listing(named[-3:])} least."
    if worse == 0:
        return [f"{ends} None of them is better left out."]
    return [f"{ends} Without {counted(worse, 'block')} the loss would be lower."]


def depth_in_words(found: RunDiagnosis) -> str:
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


def noise_in_words(found: RunDiagnosis) -> list[str]:
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


def growth_in_words(found: RunDiagnosis) -> str:
    measured = float(found.growth.log[0]) / torch.tensor(10.0).log().item()
    said = f"Backwards through all blocks the squared gradient grows by 10^{measured:.2f}"
    if found.predicted_growth is None:
        return f"{said}. Proposition 1 does not apply to this network."
    predicted = float(found.predicted_growth[0]) / torch.tensor(10.0).log().item()
    return f"{said}; Proposition 1 predicts 10^{predicted:.2f} at initialisation."


def added_in_words(found: RunDiagnosis) -> float:
    variance = found.theory.law.variance
    return float((0.5 * variance * found.theory.regularizer.double()).sum())
