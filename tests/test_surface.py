"""The public surface, what importing it costs in libraries, and the floors of the house."""

import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import stochastic_depth as sd

PACKAGES = [
    "stochastic_depth",
    *(
        module.name
        for module in pkgutil.walk_packages(sd.__path__, prefix="stochastic_depth.")
        # A program has no names for others to import, and those of artefacts are in `titles`.
        if module.ispkg
        and not module.name.startswith(("stochastic_depth.cli", "stochastic_depth.papers."))
    ),
]
LAZY = {"Any", "TYPE_CHECKING", "import_module"}  # what importing a name when it is used takes

CONTRACT = {
    "schedules": "uniform linear power cosine fixed stagewise",
    "curricula": "constant warmup progressive early sequential",
    "budgets": "expected_depth depth_variance depth_distribution depth_interval fit project sense "
    "max_regularization",
    "gates": "Bernoulli FixedDepth Deterministic stream",
    "models": "CifarResNet VanillaResNet",
    "theory": "sensitivities discrepancies regularizer expected_loss",
}


def unlisted(module):
    """Return the visible names of a package that are neither in `__all__` nor its modules."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name not in module.__all__
        and not (hasattr(module, "__getattr__") and name in LAZY)
        and not (isinstance(value, ModuleType) and value.__name__ == f"{module.__name__}.{name}")
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_exist_and_nothing_else_is_visible(package):
    module = importlib.import_module(package)
    assert len(module.__all__) == len(set(module.__all__)) > 0
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []
    assert unlisted(module) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_visible_name_that_is_not_listed_is_noticed(package, monkeypatch):
    module = importlib.import_module(package)
    for name, value in {"surprise": 1, "Linear": torch.nn.Linear, "numpy": np}.items():
        monkeypatch.setattr(module, name, value, raising=False)
    assert unlisted(module) == {"surprise", "Linear", "numpy"}


def test_no_two_private_files_have_one_name():
    """Those of `surgery` count among themselves."""
    paths = Path(sd.__file__).parent.rglob("_[!_]*.py")
    names = Counter(path.name for path in paths if "surgery" not in path.parts)
    assert len(names) > 90
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(("floor", "names"), CONTRACT.items())
def test_the_names_that_others_rely_on(floor, names):
    assert set(names.split()) <= set(getattr(sd, floor).__all__)


def test_the_names_at_the_top():
    names = "apply plan find_blocks extract gated gating stochastic_depth StochasticDepth DropPath"
    assert set(names.split()) <= set(sd.__all__)
    assert all(hasattr(sd, name) for name in sd.__all__)


def test_importing_the_library_costs_torch_and_nothing_heavy():
    program = (
        "import sys; from stochastic_depth import *;"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = "lightning torchvision timm polars altair scipy sklearn jsonargparse rich datasets"
    assert "torch" in output.stdout.split()
    assert set(heavy.split()) & set(output.stdout.split()) == set()


def test_every_module_can_be_imported():
    found = [m.name for m in pkgutil.walk_packages(sd.__path__, prefix="stochastic_depth.")]
    assert len(found) > 50
    for name in found:
        importlib.import_module(name)


def test_data_goes_one_way_through_the_floors():
    pytest.importorskip("importlinter")
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as m; m()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
