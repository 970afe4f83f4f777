"""Mode by budget by seed: the sweep behind the tables of test errors."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ... import budgets
from ...experiments import TEST_ERROR_AT_BEST, TEST_ERROR_LAST, Comparison
from ...training import RunConfig, load, mean_sensitivities, override, prepare, train
from ...training.data import Batches
from .._artefact import Context
from ._modes import LINEAR, STANDARD, UNIFORM

SENSE = "sense"


@dataclass(frozen=True)
class SweepSettings:
    """A network, a data set, and the cells of the table.

    Attributes:
        fields: what differs from the recipe, by dotted field.
        budgets: expected active shares.
        seeds: runs of each cell; a mode is compared with another seed by seed.
        sense_batches: batches over which sensitivities are averaged; the paper says that
            they are taken at initialisation, and not on how many.
        recipe: the recipe that `fields` changes.
    """

    fields: dict[str, Any]
    budgets: tuple[float, ...]
    seeds: int
    sense_batches: int = 4
    recipe: str = "huang2016_cifar10"


def sweep(settings: SweepSettings, context: Context) -> Comparison:
    """Train every cell with every seed; runs that are finished already are kept.

    The variants are `"standard"` (no stochastic depth) and `"MODE BUDGET"`.
    """
    config = load(settings.recipe, settings.fields | _source(context))
    variants = _variants(config, settings, context.seed)
    jobs = [
        (name, fields, context.seed + seed)
        for seed in range(settings.seeds)
        for name, fields in variants.items()
    ]
    with TemporaryDirectory() as temporary:
        out = Path(temporary) if context.directory is None else context.directory
        for name, fields, seed in context.track(jobs, "training networks"):
            run = override(config, fields | {"seed": seed})
            train(run, out / name.replace(" ", "-") / f"seed-{seed}", variant=name, progress=False)
        return Comparison.read(out)


def errors_by_seed(comparison: Comparison, variant: str) -> dict[int, float]:
    """Return the test error in per cent of each finished run of a variant, by seed."""
    validated = all(run.has_validation for run in comparison.runs)
    measure = TEST_ERROR_AT_BEST if validated else TEST_ERROR_LAST
    errors = {seed: measure(run) for seed, run in comparison.finished(variant).items()}
    return {seed: error for seed, error in errors.items() if error is not None}


def modes(budget: float) -> tuple[str, ...]:
    """Return the modes that can meet a budget; linear decay cannot go below about one half."""
    return (SENSE, UNIFORM, LINEAR) if budget >= 0.5 else (SENSE, UNIFORM)


def _source(context: Context) -> dict[str, str]:
    return {} if context.data is None else {"data.data_dir": str(context.data)}


def _variants(config: RunConfig, settings: SweepSettings, seed: int) -> dict[str, dict[str, Any]]:
    strength = _mean_strength(config, settings, seed)
    variants: dict[str, dict[str, Any]] = {STANDARD: {"depth.enabled": False}}
    for budget in settings.budgets:
        for mode in modes(budget):
            variants[f"{mode} {budget:g}"] = _fields(mode, budget, strength)
    return variants


def _fields(mode: str, budget: float, strength: Tensor) -> dict[str, Any]:
    if mode != SENSE:
        return {"depth.schedule": mode, "depth.last": None, "depth.budget": budget}
    p = budgets.sense(strength, budget).tolist()
    return {"depth.schedule": "fixed", "depth.last": None, "depth.probabilities": p}


def _mean_strength(config: RunConfig, settings: SweepSettings, seed: int) -> Tensor:
    """Return the mean of |S_l| over batches and over the initial weights of all seeds.

    All seeds then share one schedule, and are draws of the same thing.
    """
    strengths = []
    for offset in range(settings.seeds):
        fields = {"depth.enabled": False, "seed": seed + offset}
        prepared = prepare(override(config, fields))
        batches = Batches(prepared.splits.train, config.batch_size, seed=seed + offset)
        taken = islice(batches, settings.sense_batches)
        strengths.append(mean_sensitivities(prepared.model, taken))
    return torch.stack(strengths).mean(0)
