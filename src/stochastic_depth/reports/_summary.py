"""The conclusions of a comparison: who won, by how much, how surely, at what cost."""

from dataclasses import dataclass

from ..experiments import LEAST_SEEDS_FOR_P, Comparison, PairedDifference
from ._recorded import EPOCH_SECONDS, LIVE_COST, LIVE_SHARE, TRAIN_ERROR_FINAL, TRAIN_ERROR_RUNNING
from ._words import counted, listing, signed

SIGNIFICANT = 0.05
FASTER_THAN_POSSIBLE = 0.05  # how far below the live share the noise of a quiet machine reaches
FEW = f"a p value is given from {LEAST_SEEDS_FOR_P} seeds on."


@dataclass(frozen=True)
class Conclusion:
    """The conclusion about one variant against the baseline.

    Args:
        variant: The variant.
        headline: Who made fewer test errors, in one sentence.
        certainty: How sure that is, and why.
        effect: What happened to the training error.
        time: What the variant cost.
        clear: Whether the errors differ clearly.
    """

    variant: str
    headline: str
    certainty: str
    effect: str
    time: str
    clear: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """All sentences, what is certain first: what ran, where errors do not differ clearly."""
        errors = (self.headline, self.certainty, self.effect)
        ordered = (*errors, self.time) if self.clear else (self.time, *errors)
        return tuple(filter(None, ordered))


def conclusions(comparison: Comparison) -> tuple[Conclusion, ...]:
    """Return one conclusion for each variant but the baseline.

    Args:
        comparison: The runs.

    Returns:
        Conclusions, in the order of the variants.
    """
    return tuple(_conclusion(comparison, variant) for variant in comparison.variants[1:])


def _conclusion(comparison: Comparison, variant: str) -> Conclusion:
    difference = comparison.difference(variant, comparison.test_error)
    if difference is None:
        waiting = f"No seed of both {comparison.baseline} and {variant} has finished yet."
        return Conclusion(variant, waiting, "", "", "")
    return Conclusion(
        variant,
        headline=_headline(comparison, variant, difference),
        certainty=_certainty(difference, len(comparison.variants) - 1),
        effect=_effect(comparison, variant),
        time=_time(comparison, variant),
        clear=is_clear(difference),
    )


def _headline(comparison: Comparison, variant: str, difference: PairedDifference) -> str:
    seeds = counted(difference.n, "seed")
    baseline, measure = comparison.baseline, comparison.test_error
    mean, digits = signed(difference.spread, measure.decimals), f".{measure.decimals}f"
    if not is_clear(difference):
        return (
            f"No clear difference in {measure.quantity}: {variant} was lower in "
            f"{difference.wins} of {seeds}, and {baseline} − {variant} = {mean} {measure.unit}."
        )
    lower = "lower" if difference.spread.mean > 0 else "higher"
    gaps = difference.differences
    return (
        f"The {measure.quantity} of {variant} was {lower} than that of {baseline} in "
        f"{max(difference.wins, difference.losses)} of {seeds}, by "
        f"{abs(difference.spread.mean):{digits}} {measure.unit} on average "
        f"(differences {min(gaps):+{digits}} to {max(gaps):+{digits}})."
    )


def is_clear(difference: PairedDifference) -> bool:
    """Return whether one variant clearly wins: by p if n allows one, else in every seed.

    Args:
        difference: Of two variants.
    """
    wins, losses = difference.wins, difference.losses
    if (wins > losses) != (difference.spread.mean > 0):
        return False
    if difference.p_wilcoxon is not None:
        return difference.p_wilcoxon < SIGNIFICANT
    return max(wins, losses) == difference.n > 1


def _certainty(difference: PairedDifference, comparisons: int) -> str:
    named = {"Wilcoxon": difference.p_wilcoxon, "t test": difference.p_t}
    known = [f"{p:.2g} ({test})" for test, p in named.items() if p is not None]
    if difference.p_wilcoxon is not None:
        more = f", not corrected for {comparisons} comparisons" if comparisons > 1 else ""
        return (
            f"Paired over {difference.n} seeds, two-sided{more}: p = {listing(known)}. It holds "
            "for other seeds, not for other data."
        )
    if difference.n == 1:
        return f"One seed cannot show how much of the difference is chance; {FEW}"
    seeds = counted(difference.n, "seed")
    if not is_clear(difference):
        return f"The difference is within the spread of {seeds}; {FEW}"
    return (
        f"{seeds.capitalize()} cannot prove a difference: if each seed were a coin toss, a result "
        f"this one-sided would come up in {100 * difference.p_by_luck:.0f} % of cases; {FEW}"
    )


def _effect(comparison: Comparison, variant: str) -> str:
    measures = (TRAIN_ERROR_RUNNING, TRAIN_ERROR_FINAL)
    base = [comparison.spread(comparison.baseline, measure) for measure in measures]
    other = [comparison.spread(variant, measure) for measure in measures]
    if None in base or None in other:
        return ""
    rows = [f"{b.mean:.2f} % → {o.mean:.2f} %" for b, o in zip(base, other, strict=True) if b and o]
    return (
        f"Training error, {comparison.baseline} → {variant}: {rows[0]} as trained in the last "
        f"epoch, {rows[1]} evaluated at the end."
    )


def _time(comparison: Comparison, variant: str) -> str:
    ratio = comparison.ratio(variant, EPOCH_SECONDS)
    blocks, cost = comparison.spread(variant, LIVE_SHARE), comparison.spread(variant, LIVE_COST)
    if ratio is None or blocks is None or cost is None:
        return ""
    remark = ""
    if ratio.mean < cost.mean - FASTER_THAN_POSSIBLE:
        remark = " That is faster than possible: the machine was busy with something else."
    return (
        f"{100 * blocks.mean:.0f} % of the blocks of {variant}, which hold "
        f"{100 * cost.mean:.0f} % of the cost, ran; an epoch took {ratio.mean:.2f} of the time of "
        f"one of {comparison.baseline}.{remark}"
    )
