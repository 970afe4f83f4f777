"""Curves of the test error, constant against stochastic depth: figures 3 and 4."""

from collections.abc import Mapping

import polars as pl

from ...experiments import Comparison
from ...reports import Figure, figures
from .._artefact import Artefact, Context, Outcome, Profile
from .._claim import Claim, Measurement
from .._experiment import Experiment, errors_of, known, mean, remarks, trained
from ._measures import NOTE, claims, measurements

# "Around 0.2 %" is the variation between runs that the authors announce.
TOLERANCE = 0.2


def against_constant(
    name: str,
    source: str,
    profiles: Mapping[Profile, Experiment],
    printed: Mapping[str, float],
) -> Artefact:
    """Return the artefact of one figure.

    Args:
        name: of the artefact.
        source: where it is printed.
        profiles: experiments with the variants "constant" and "stochastic".
        printed: test errors in per cent by variant. They are compared at the paper's own size
            alone.
    """

    def run(experiment: Experiment, context: Context) -> Outcome:
        comparison = trained(experiment, context)
        found = measurements(comparison)
        if experiment == profiles["paper"]:
            found |= errors(comparison, printed)
        figure = curves(comparison, "test_error")
        return Outcome(found, epochs(comparison), figure, (*remarks(comparison), NOTE))

    errors_printed = (
        Claim(error_of(variant), value, source, TOLERANCE) for variant, value in printed.items()
    )
    return Artefact(
        name=f"huang2016/{name}",
        source=source,
        claims=(*claims(source), *errors_printed),
        profiles=profiles,
        run=run,
    )


def error_of(variant: str) -> str:
    """Return the name of the claim of a test error."""
    return f"test error, {variant} depth, %"


def errors(comparison: Comparison, variants: Mapping[str, float]) -> dict[str, Measurement]:
    """Return the mean test error of variants, by the name of its claim."""
    return known(
        {error_of(name): mean(list(errors_of(comparison, name).values())) for name in variants}
    )


def epochs(comparison: Comparison) -> pl.DataFrame:
    """Return one row per epoch of every run."""
    tables = [
        run.metrics.select(
            pl.lit(run.variant).alias("variant"), pl.lit(run.seed).alias("seed"), "*"
        )
        for run in comparison.runs
    ]
    return pl.concat(tables)


def curves(comparison: Comparison, name: str) -> Figure:
    """Return the figure of that name from the page of the comparison."""
    return next(figure for figure in figures(comparison) if figure.name == name)
