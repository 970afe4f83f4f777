"""What figures about training are made from: variants of a recipe, trained seed by seed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from ..experiments import (
    CONSTANT_AGAINST_STOCHASTIC,
    Comparison,
    RunRecord,
    compare,
)
from ..reports import Figure, figures, write_page
from ..training import load
from ._artefact import Context, Measurement

CONSTANT, STOCHASTIC = CONSTANT_AGAINST_STOCHASTIC


@dataclass(frozen=True)
class Experiment:
    """Variants of a recipe, each trained with the same seeds.

    Attributes:
        name: of the folder of its runs. Artefacts that train the same networks share it.
        recipe: the protocol.
        fields: what differs from the recipe, by dotted field.
        variants: overridden fields of each variant; the first is the baseline.
        seeds: runs of each variant.
    """

    name: str
    recipe: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: dict(CONSTANT_AGAINST_STOCHASTIC)
    )
    seeds: int = 3


def trained(experiment: Experiment, context: Context) -> Comparison:
    """Train what is not trained yet, and return all runs.

    Where runs are kept, a page with their curves is written beside them.
    """
    config = load(experiment.recipe, {**experiment.fields, **images(context)})
    seeds = range(context.seed, context.seed + experiment.seeds)
    with kept(context) as directory:
        out = directory / experiment.name
        comparison = compare(config, experiment.variants, seeds, out)
        if context.directory is not None:
            write_page(comparison, out / "report.html")
    return comparison


Pair = Callable[[RunRecord, RunRecord], float | None]
"""A number of two runs of one seed: of the baseline, and of another variant."""


def by_seed(comparison: Comparison, baseline: str, variant: str, number: Pair) -> list[float]:
    """Return a number of each seed that two variants have both finished."""
    base, other = comparison.finished(baseline), comparison.finished(variant)
    numbers = (number(base[seed], other[seed]) for seed in base if seed in other)
    return [value for value in numbers if value is not None]


def errors_of(comparison: Comparison, variant: str) -> dict[int, float]:
    """Return the test error in per cent of each finished run of a variant, by seed."""
    errors = {s: comparison.test_error(run) for s, run in comparison.finished(variant).items()}
    return {seed: error for seed, error in errors.items() if error is not None}


def lower_by(comparison: Comparison, baseline: str, variant: str) -> Measurement | None:
    """Return by how many points the test error of a variant is lower, paired by seed."""
    base, other = errors_of(comparison, baseline), errors_of(comparison, variant)
    return mean([base[seed] - other[seed] for seed in base if seed in other])


def mean(values: list[float]) -> Measurement | None:
    """Return the mean over seeds and its standard error; None of fewer than two."""
    return Measurement.of(values) if len(values) > 1 else None


def known(measurements: Mapping[str, Measurement | None]) -> dict[str, Measurement]:
    """Return the measurements that there are."""
    return {name: found for name, found in measurements.items() if found is not None}


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


def remarks(comparison: Comparison) -> tuple[str, ...]:
    """Return what was cut from the protocol, and which runs failed, in sentences."""
    plan, data = comparison.plan, comparison.runs[0].data
    images = (
        f"{data['train']:,} training, {data['validation']:,} validation and {data['test']:,} test"
    )
    seeds = ", ".join(map(str, comparison.seeds))
    changes = [f"{name} = {value}" for name, value in plan.changes.items()] if plan else []
    return (
        f"Trained on {data['name']}: {images} images, seeds {seeds}.",
        *([f"Against the recipe {comparison.name}: {', '.join(changes)}."] if changes else []),
        *(f"{run} failed: {why}" for run, why in comparison.failures.items()),
    )


def images(context: Context) -> dict[str, str]:
    """Return the field that says where the images are, if the context does."""
    return {} if context.data is None else {"data.data_dir": str(context.data)}


@contextmanager
def kept(context: Context) -> Iterator[Path]:
    """Yield the folder of the runs, one that vanishes if none was given."""
    if context.directory is not None:
        yield context.directory
        return
    with TemporaryDirectory() as temporary:
        yield Path(temporary)
