"""The conclusions of a comparison: who won, by how much, how surely, at what cost."""

from dataclasses import dataclass

from ..experiments import Comparison, PairedDifference
from ._recorded import EPOCH_SECONDS, LIVE_COST, LIVE_SHARE, TRAIN_ERROR_FINAL, TRAIN_ERROR_RUNNING
from ._words import estimate

FASTER_THAN_POSSIBLE = 0.05  # how far below the live share the noise of a quiet machine reaches


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
        clear=difference.is_clear,
    )


def _headline(comparison: Comparison, variant: str, difference: PairedDifference) -> str:
    baseline, measure = comparison.baseline, comparison.test_error
    found = f"{baseline} − {variant} = {estimate(difference, measure.unit, measure.decimals)}"
    if not difference.is_clear:
        return f"No clear difference in {measure.quantity}: {found}."
    lower = "lower" if difference.spread.mean > 0 else "higher"
    return f"The {measure.quantity} of {variant} was {lower} than that of {baseline}: {found}."


def _certainty(difference: PairedDifference, comparisons: int) -> str:
    if difference.n == 1:
        return (
            "One seed cannot show how much of the difference is chance; an interval is given from "
            "two seeds on."
        )
    if difference.p is None:
        return f"All {difference.n} differences are equal: how far others would lie is not known."
    more = f", not corrected for {comparisons} comparisons" if comparisons > 1 else ""
    return (
        f"Lower in {difference.wins} of {difference.n} seeds; p = {difference.p:.2g} (Student's t, "
        f"paired by seed, two-sided{more}). It holds for other seeds, not for other data."
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
