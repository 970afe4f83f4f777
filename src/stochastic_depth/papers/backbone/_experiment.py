"""The recipe at three sizes, and the runs of its variants."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...experiments import EPOCH_SECONDS, Comparison
from .._artefact import Context, Profile
from .._claim import Measurement
from .._experiment import Experiment, by_seed, mean, trained

RECIPE = "backbone_resnet50"

SIZES: Mapping[Profile, Mapping[str, Any]] = {
    # Images that come with scikit-learn: it shows that the artefact runs.
    "smoke": {
        "data.name": "digits",
        "data.limit": 16,
        "data.test_limit": 16,
        "data.image_size": 8,
        "epochs": 1,
        "batch_size": 8,
        "learning_rate.warmup_epochs": 0,
        "loggers": [],
        "threads": 1,
    },
    "cpu": {
        "data.limit": 500,
        "data.test_limit": 500,
        "data.image_size": 64,
        "epochs": 20,
        "batch_size": 32,
        "learning_rate.warmup_epochs": 2,
        "evaluate_every": 4,
        "checkpoint_every": 2,
        "loggers": [],
        "threads": 1,
    },
    "paper": {},
}


def profiles(name: str, variants: Mapping[str, Mapping[str, Any]]) -> dict[Profile, Experiment]:
    """Return the experiment at its three sizes."""
    return {
        size: Experiment(
            f"{name}-{size}", RECIPE, fields, variants, seeds=1 if size == "smoke" else 3
        )
        for size, fields in SIZES.items()
    }


def runs(experiment: Experiment, context: Context) -> Comparison:
    """Train what is not trained yet, on the folder of images of the context."""
    if context.data is not None:
        images = {"data.name": str(context.data)}
        experiment = replace(experiment, fields={**experiment.fields, **images})
    return trained(experiment, replace(context, data=None))


def time_ratio(comparison: Comparison, baseline: str, variant: str) -> Measurement | None:
    """Return the time of an epoch of a variant over that of the baseline, seed by seed."""
    return mean(by_seed(comparison, baseline, variant, lambda base, run: _ratio(run, base)))


def _ratio(run: Any, base: Any) -> float | None:
    mine, theirs = EPOCH_SECONDS(run), EPOCH_SECONDS(base)
    return None if mine is None or theirs is None else mine / theirs
