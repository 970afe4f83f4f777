"""The three sizes of the tables of test errors."""

from typing import Any

from .._artefact import Profile
from ._sweep import SweepSettings

BUDGETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# He initialisation by fan in, ones, no biases; the optimiser is the recipe's. Length and
# batch size are the defaults of the program that the authors build on
# (github.com/felixgwu/img_classification_pk_pytorch); whether they kept them is not known.
PAPER: dict[str, Any] = {
    "model.init_args.stable": True,
    "model.init_args.conv_bias": False,
    "model.init_args.bn_init": "ones",
    "epochs": 164,
    "batch_size": 64,
}

# Small enough for two cores: 2,000 images of 16 x 16 pixels. Images are few, so that there
# is something to regularise.
CPU: dict[str, Any] = PAPER | {
    "model.init_args.width": 8,
    "data.limit": 2000,
    "data.test_limit": 3000,
    "data.validation": 0,
    "data.image_size": 16,
    "data.normalization": "channel",
    "epochs": 20,
    "evaluate_every": 20,
    "checkpoint_every": 20,
}

SMOKE: dict[str, Any] = CPU | {
    "model.init_args.depth": 8,
    "model.init_args.width": 4,
    "data.name": "digits",
    "data.image_size": None,
    "data.limit": 64,
    "data.test_limit": 64,
    "epochs": 1,
    "evaluate_every": 1,
    "checkpoint_every": 1,
}


def cifar_profiles(data: str, depth: int, cpu_depth: int) -> dict[Profile, SweepSettings]:
    """Return the sizes for one data set and one network of the paper.

    Args:
        data: name of the data set.
        depth: layers of the network.
        cpu_depth: layers of the one that stands for it on two cores.
    """
    cpu, paper = (
        {"data.name": data, "model.init_args.depth": layers} for layers in (cpu_depth, depth)
    )
    return {
        "smoke": SweepSettings(SMOKE, budgets=(0.7,), seeds=1, sense_batches=1),
        "cpu": SweepSettings(CPU | cpu, budgets=(0.2, 0.3, 0.7, 0.8), seeds=6),
        "paper": SweepSettings(PAPER | paper, BUDGETS, seeds=4),
    }
