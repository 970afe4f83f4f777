"""The three sizes of the experiments on small images."""

from collections.abc import Mapping
from typing import Any

from .._artefact import Profile
from .._experiment import Experiment

# What two cores manage: L = 15 blocks, 3,000 images of 16 x 16 pixels. Images are few so that,
# as in the paper, the network at constant depth memorises its training images.
CPU: dict[str, Any] = {
    "model.init_args.depth": 32,
    "data.limit": 3000,
    "data.validation": 1000,
    "data.test_limit": 4000,
    "data.image_size": 16,
    "epochs": 100,
    "batch_size": 64,
    "precision": "bf16",
    "evaluate_every": 4,
    "checkpoint_every": 4,
    "loggers": [],
    "threads": 1,  # so that runs do not depend on how many are trained at a time
}

# Half as wide as the recipe's 4 pixels of 32, for images of 16.
SHIFTED: dict[str, Any] = {"data.shift": 2}

# Seconds, on images that come with scikit-learn: it shows that the artefact runs.
SMOKE: dict[str, Any] = {
    "model.init_args.depth": 8,
    "model.init_args.width": 4,
    "data.name": "digits",
    "data.limit": 32,
    "data.validation": 16,
    "data.test_limit": 16,
    "data.shift": 0,
    "epochs": 2,
    "evaluate_every": 1,
    "batch_size": 16,
    "loggers": [],
    "threads": 1,
}


def profiles(
    name: str,
    recipe: str,
    cpu: Mapping[str, Any],
    *,
    paper: Mapping[str, Any] | None = None,
    variants: Mapping[Profile, Mapping[str, Mapping[str, Any]]] | None = None,
) -> dict[Profile, Experiment]:
    """Return an experiment at its three sizes.

    Args:
        name: of the experiment.
        recipe: the paper's protocol.
        cpu: what differs from the recipe at the size `"cpu"`.
        paper: what differs from it at the size `"paper"`; nothing if None.
        variants: of each size; constant depth against the recipe's if None.
    """
    fields: dict[Profile, Mapping[str, Any]] = {"smoke": SMOKE, "cpu": cpu, "paper": paper or {}}
    return {
        profile: Experiment(
            f"{name}-{profile}",
            recipe,
            cut,
            **({} if variants is None else {"variants": variants[profile]}),
            seeds=1 if profile == "smoke" else 3,
        )
        for profile, cut in fields.items()
    }
