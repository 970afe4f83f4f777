"""Sections 6 and 7: stochastic depth beside dropout and other regularisers, on little data."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...experiments import EPOCH_SECONDS, Comparison
from .._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile
from .._experiment import (
    Experiment,
    by_seed,
    curves,
    epochs,
    known,
    lower_by,
    mean,
    remarks,
    trained,
)

NONE, DROPOUT, STOCHASTIC = "none", "dropout", "stochastic depth"
BOTH, DECAY, SMOOTHING = "dropout and stochastic depth", "weight decay", "label smoothing"
ALL = "all but dropout"

OFF: Mapping[str, Any] = {
    "depth.enabled": False,
    "model.init_args.dropout": 0.0,
    "optimizer.init_args.weight_decay": 0.0,
    "label_smoothing": 0.0,
}

ON: Mapping[str, Mapping[str, Any]] = {
    STOCHASTIC: {"depth.enabled": True},
    DROPOUT: {"model.init_args.dropout": 0.2},
    DECAY: {"optimizer.init_args.weight_decay": 0.05},
    SMOOTHING: {"label_smoothing": 0.1},
}


def variant(*names: str) -> dict[str, Any]:
    """Return the fields of the variant in which these regularisers are on and others off.

    Example:
        >>> variant("label smoothing")["label_smoothing"], variant()["depth.enabled"]
        (0.1, False)
    """
    fields = dict(OFF)
    for name in names:
        fields |= ON[name]
    return fields


AGAINST_DROPOUT: Mapping[str, Mapping[str, Any]] = {
    NONE: variant(),
    DROPOUT: variant(DROPOUT),
    STOCHASTIC: variant(STOCHASTIC),
}
"""What the table of section 6 compares."""

SIDE_BY_SIDE: Mapping[str, Mapping[str, Any]] = {
    NONE: variant(),
    **{name: variant(name) for name in ON},
    BOTH: variant(DROPOUT, STOCHASTIC),
    ALL: variant(STOCHASTIC, DECAY, SMOOTHING),
}
"""Each alone, and two combinations."""


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


ESSAY = "Stochastic Depth — Training a Deep Network That's Sometimes Shallow"
SECTION6 = f"{ESSAY}, section 6"

TIME = "time of an epoch with {} over that without"
GAIN = "points by which {} lowers the test error"
FASTER = "points by which stochastic depth lowers the test error of dropout"

# How far two timings of one and the same network differ on a machine that others use.
SPREAD = 0.05


def against_dropout(experiment: Experiment, context: Context) -> Outcome:
    """Train without either, with dropout, and with stochastic depth."""
    comparison = runs(experiment, context)
    return Outcome(
        known(_against_dropout(comparison)),
        epochs(comparison),
        curves(comparison, "test_error"),
        (*remarks(comparison), *DROPOUT_NOTES),
    )


def _against_dropout(comparison: Comparison) -> dict[str, Measurement | None]:
    kinds = (DROPOUT, STOCHASTIC)
    return {
        **{TIME.format(kind): time_ratio(comparison, NONE, kind) for kind in kinds},
        **{GAIN.format(kind): lower_by(comparison, NONE, kind) for kind in kinds},
        FASTER: lower_by(comparison, DROPOUT, STOCHASTIC),
    }


DROPOUT_NOTES = (
    "Dropout of 0.2 stands before the last convolution of every bottleneck; the source names "
    "neither a place nor a rate.",
    "All variants have the recipe's augmentation and average of the weights, and neither weight "
    "decay nor label smoothing.",
    "That dropout shreds the spatial structure of a feature map, and stochastic depth does not, "
    "is seen from what they are and not measured.",
)

section6 = Artefact(
    name="backbone/section6",
    source=SECTION6,
    claims=(
        Claim(TIME.format(DROPOUT), 1.0, f"{SECTION6}, compute", tolerance=SPREAD),
        Claim(TIME.format(STOCHASTIC), 1.0, f"{SECTION6}, compute", relation="<="),
        Claim(GAIN.format(DROPOUT), 0.0, f"{SECTION6}, batch normalisation", relation="<="),
        Claim(GAIN.format(STOCHASTIC), 0.0, SECTION6, relation=">="),
        Claim(FASTER, 0.0, SECTION6, relation=">="),
    ),
    profiles=profiles("section6", AGAINST_DROPOUT),
    run=against_dropout,
)
"""Section 6: stochastic depth against plain dropout, in error and in time."""


SECTION7 = f"{ESSAY}, section 7"

BEYOND = "points by which the others lower the test error of stochastic depth alone"


def side_by_side(experiment: Experiment, context: Context) -> Outcome:
    """Train every variant."""
    comparison = runs(experiment, context)
    found = {GAIN.format(name): lower_by(comparison, NONE, name) for name in (*ON, ALL)}
    found[BEYOND] = lower_by(comparison, STOCHASTIC, ALL)
    return Outcome(
        known({name: value for name, value in found.items() if name in CLAIMED}),
        epochs(comparison),
        curves(comparison, "test_error"),
        remarks(comparison),
    )


CLAIMED = (GAIN.format(STOCHASTIC), GAIN.format(ALL), BEYOND)

regularizers = Artefact(
    name="backbone/regularizers",
    source=SECTION7,
    claims=tuple(
        Claim(name, 0.0, f"{SECTION7}: they work in concert", relation=">=") for name in CLAIMED
    ),
    profiles=profiles("regularizers", SIDE_BY_SIDE),
    run=side_by_side,
)
"""Section 7: regularisers side by side, alone and together."""
