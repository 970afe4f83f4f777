"""A network and a data set that train in a fraction of a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stochastic_depth.training import RunConfig, load

SMALL = {
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "data.limit": 100,
    "data.validation": 40,
    "data.test_limit": 60,
    "epochs": 4,
    "learning_rate.warmup_epochs": 1,
    "evaluate_every": 2,
    "checkpoint_every": 1,
    "threads": 1,
    "loggers": [],
}
"""Four steps an epoch, the last of them with 4 images; six blocks."""


@pytest.fixture
def config() -> Callable[..., RunConfig]:
    """Return a function from overrides to a small configuration."""

    def build(**overrides: Any) -> RunConfig:
        dotted = {name.replace("__", "."): value for name, value in overrides.items()}
        return load("demo_digits", SMALL | dotted)

    return build


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a directory for a run."""
    return tmp_path / "run"
