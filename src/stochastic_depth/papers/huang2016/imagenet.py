"""ResNet-152 on ImageNet: no lower error at equal epochs, about the same in equal time.

Images come from a folder of parquet files or of class folders, with a part to train on and
one to validate with. Where the paper crops and scales at random, images are brought to
224 x 224 pixels once and mirrored; the decoded copy of all of ImageNet takes 200 GB.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..._errors import InvalidArgument
from ...experiments import Comparison
from .._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile
from .._experiment import (
    CONSTANT,
    STOCHASTIC,
    Experiment,
    curves,
    epochs,
    known,
    lower_by,
    remarks,
    trained,
)
from ._profiles import SMOKE
from .training_curves import TOLERANCE, error_of, errors

SOURCE = "Huang et al. 2016, section 4 and figure 6"
RECIPE = "huang2016_cifar10"  # optimizer, gates and rates are those of CIFAR-10
LONGER_CONSTANT, LONGER_STOCHASTIC = "constant longer", "stochastic longer"
# After 90 epochs, and after 120.
PRINTED = {CONSTANT: 23.06, STOCHASTIC: 23.38, LONGER_CONSTANT: 21.78, LONGER_STOCHASTIC: 21.98}

EQUAL = "test error of constant minus that of stochastic depth after equal epochs, points"
EQUAL_LONGER = "the same after a third more epochs, points"
EQUAL_TIME = "the same after a third more epochs of stochastic depth alone, points"


def variants(epochs: int) -> dict[str, Mapping[str, Any]]:
    """Return constant and stochastic depth, and both for a third more epochs.

    The rate falls tenfold after each quarter of the longer training.
    """
    longer = {"epochs": 4 * epochs // 3, "learning_rate.milestones": _every_thirty(120)}
    return {
        CONSTANT: {"depth.enabled": False},
        STOCHASTIC: {},
        LONGER_CONSTANT: {"depth.enabled": False, **longer},
        LONGER_STOCHASTIC: longer,
    }


def _every_thirty(epochs: int) -> list[float]:
    """Return the shares of training after which the rate falls: 30, 60, ... epochs."""
    # Between two epochs, where a rounded product cannot reach the next one.
    return [(drop + 0.5) / epochs for drop in range(30, epochs, 30)]


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train on the images of the folder that the context names."""
    comparison = trained(*_on_images(experiment, context))
    found = _measurements(comparison)
    if experiment == PROFILES["paper"]:
        found |= errors(comparison, PRINTED)
    return Outcome(found, epochs(comparison), curves(comparison, "test_error"), remarks(comparison))


def _on_images(experiment: Experiment, context: Context) -> tuple[Experiment, Context]:
    """Tell the experiment where the images are; those of ImageNet have no place of their own."""
    if "data.name" in experiment.fields:
        return experiment, context
    if context.data is None:
        raise InvalidArgument(
            "data_dir must be given for ImageNet, which cannot be downloaded; got none. "
            "Pass a folder of parquet files, or of train/<class>/ and validation/<class>/."
        )
    fields = {**experiment.fields, "data.name": str(context.data)}
    return replace(experiment, fields=fields), replace(context, data=None)


def _measurements(comparison: Comparison) -> dict[str, Measurement]:
    return known(
        {
            EQUAL: lower_by(comparison, CONSTANT, STOCHASTIC),
            EQUAL_LONGER: lower_by(comparison, LONGER_CONSTANT, LONGER_STOCHASTIC),
            EQUAL_TIME: lower_by(comparison, CONSTANT, LONGER_STOCHASTIC),
        }
    )


# fb.resnet.torch, whose program the authors train with; the batch of 128 is theirs.
IMAGENET: dict[str, Any] = {
    "model": "torchvision.models.resnet152",
    "data.validation": 0,  # what ImageNet calls validation is what is reported
    "data.image_size": 224,
    "data.shift": 0,
    "data.normalization": "channel",
    "learning_rate.milestones": _every_thirty(90),
    "epochs": 90,
}

# A few thousand images, such as those of Imagenette, and a network that an hour suffices for.
SMALL = {
    "model": "torchvision.models.resnet50",
    "data.limit": 2000,
    "data.image_size": 32,
    "epochs": 12,
    "batch_size": 64,
    "precision": "bf16",
    "evaluate_every": 2,
    "checkpoint_every": 2,
    "loggers": [],
    "threads": 1,
}

PROFILES: dict[Profile, Experiment] = {
    "smoke": Experiment("imagenet-smoke", RECIPE, SMOKE, variants(3), seeds=1),
    "cpu": Experiment("imagenet-cpu", RECIPE, IMAGENET | SMALL, variants(12)),
    "paper": Experiment("imagenet-paper", RECIPE, IMAGENET, variants(90)),
}

imagenet = Artefact(
    name="huang2016/imagenet",
    source=SOURCE,
    claims=(
        Claim(EQUAL, 0.0, SOURCE, relation="<="),
        Claim(EQUAL_LONGER, 0.0, SOURCE, relation="<="),
        Claim(EQUAL_TIME, 0.0, SOURCE, relation=">="),
        *(Claim(error_of(name), value, SOURCE, TOLERANCE) for name, value in PRINTED.items()),
    ),
    profiles=PROFILES,
    run=run,
)
"""ResNet-152 on ImageNet: no lower error at equal epochs, about the same in equal time."""
