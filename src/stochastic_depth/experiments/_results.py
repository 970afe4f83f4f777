"""The figures of a comparison as plain values, for programs that read on."""

from dataclasses import asdict
from typing import Any

from ..training.run_record import EPOCH_SECONDS, MEASURES, REALISED_DEPTH, Measure
from ._comparison import Comparison
from ._statistics import PairedDifference, Spread

# The mean depth is the live share in other units.
COMPARED = {name: of for name, of in MEASURES.items() if of is not REALISED_DEPTH}


def results(comparison: Comparison) -> dict[str, Any]:
    """Return what the tables of a comparison say.

    Args:
        comparison: The runs.

    Returns:
        Per run its summary, per variant mean and deviation of every measure, per variant but
        the baseline the paired difference and the ratio of the median epochs; what is not known is
        `None`.
    """
    others = comparison.variants[1:]
    return {
        "name": comparison.name,
        "baseline": comparison.baseline,
        "decided_by": name_of(comparison.test_error),
        "runs": {run.key: run.summary and asdict(run.summary) for run in comparison.runs},
        "failures": comparison.failures,
        "variants": {
            variant: {
                name: _spread(comparison.spread(variant, of)) for name, of in COMPARED.items()
            }
            for variant in comparison.variants
        },
        "differences": {
            variant: _difference(comparison.difference(variant, comparison.test_error))
            for variant in others
        },
        "time_ratios": {
            variant: _spread(comparison.ratio(variant, EPOCH_SECONDS)) for variant in others
        },
    }


def name_of(measure: Measure) -> str:
    """Return the name of a measure in tables for programs."""
    return next(name for name, other in MEASURES.items() if other is measure)


def _spread(spread: Spread | None) -> dict[str, float | None] | None:
    if spread is None:
        return None
    return {"mean": spread.mean, "std": spread.std if spread.n > 1 else None, "n": spread.n}


def _difference(difference: PairedDifference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "differences": list(difference.differences),
        **(_spread(difference.spread) or {}),
        "wins": difference.wins,
        "losses": difference.losses,
        "p_t": difference.p_t,
        "p_wilcoxon": difference.p_wilcoxon,
    }
