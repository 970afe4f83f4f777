"""Training a network with stochastic depth on images, one run directory at a time.

    config = load("huang2016_cifar10", {"data.data_dir": "data/cifar10", "epochs": 3})
    train(config, "runs/first")

A run is a function of its `RunConfig`. Its directory holds `config.yaml`, `run.json`,
`metrics.csv`, `gates.npy` and `checkpoints/`; training in it again resumes it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._component import Component
from ._config import RunConfig
from ._depth import DepthConfig
from ._learning_rate import LearningRateConfig
from ._load import add_run_config, load, override, recipes, run_config
from .data import DataConfig

if TYPE_CHECKING:
    from ._alternatives import Alternatives, alternatives
    from ._module import Classifier
    from ._outlook import describe, outlook
    from ._prepare import Prepared, prepare
    from ._sensitivities import mean_sensitivities
    from ._train import train
    from .callbacks import SenseMode, StochasticDepth

__all__ = [
    "Alternatives",
    "Classifier",
    "Component",
    "DataConfig",
    "DepthConfig",
    "LearningRateConfig",
    "Prepared",
    "RunConfig",
    "SenseMode",
    "StochasticDepth",
    "add_run_config",
    "alternatives",
    "describe",
    "load",
    "mean_sensitivities",
    "outlook",
    "override",
    "prepare",
    "recipes",
    "run_config",
    "train",
]

# Lightning takes seconds to import, and a configuration does not need it.
WITH_LIGHTNING = {
    "Alternatives": "_alternatives",
    "Classifier": "_module",
    "Prepared": "_prepare",
    "SenseMode": "callbacks",
    "StochasticDepth": "callbacks",
    "alternatives": "_alternatives",
    "describe": "_outlook",
    "mean_sensitivities": "_sensitivities",
    "outlook": "_outlook",
    "prepare": "_prepare",
    "train": "_train",
}


def __getattr__(name: str) -> Any:
    """Import what stands on Lightning when it is first asked for."""
    if name not in WITH_LIGHTNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{WITH_LIGHTNING[name]}", __name__), name)
