"""Training a network with stochastic depth on images, one run directory at a time.

    config = load("huang2016_cifar10", {"data.data_dir": "data/cifar10", "epochs": 3})
    train(config, "runs/first")

A run is a function of its `RunConfig`. Its directory holds `config.yaml`, `run.json`,
`metrics.csv`, `gates.npy` and `checkpoints/`; training in it again resumes it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..schedules._depth import LinearRule
from ._component import Component
from ._depth_config import DepthConfig
from ._learning_rate import LearningRateConfig
from ._recipes import add_run_config, load, override, recipes, run_config
from ._run_config import RunConfig
from .data import DataConfig

if TYPE_CHECKING:
    from ._prepare import Prepared, describe, outlook, prepare
    from ._restore import Restored, restore
    from ._sense import Alternatives, alternatives, mean_sensitivities
    from ._train import train
    from .callbacks import SenseMode, StochasticDepth

__all__ = [
    "Alternatives",
    "Component",
    "DataConfig",
    "DepthConfig",
    "LearningRateConfig",
    "LinearRule",
    "Prepared",
    "Restored",
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
    "restore",
    "run_config",
    "train",
]

# Lightning takes seconds to import, and a configuration does not need it.
_WITH_LIGHTNING = {
    "Alternatives": "_sense",
    "Prepared": "_prepare",
    "Restored": "_restore",
    "SenseMode": "callbacks",
    "StochasticDepth": "callbacks",
    "alternatives": "_sense",
    "describe": "_prepare",
    "mean_sensitivities": "_sense",
    "outlook": "_prepare",
    "prepare": "_prepare",
    "restore": "_restore",
    "train": "_train",
}


def __getattr__(name: str) -> Any:
    """Import what stands on Lightning when it is first asked for."""
    if name not in _WITH_LIGHTNING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WITH_LIGHTNING[name]}", __name__), name)
