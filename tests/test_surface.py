"""The public surface, what importing it costs in libraries, and the floors of the house."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import stochastic_depth as sd

FLOORS = ["schedules", "curricula", "budgets", "gates", "blocks", "models", "surgery", "theory"]

CONTRACT = {
    "schedules": "uniform linear power cosine fixed stagewise",
    "curricula": "constant warmup progressive early sequential",
    "budgets": "expected_depth depth_variance depth_distribution depth_interval fit project sense "
    "max_regularization",
    "gates": "Bernoulli FixedDepth Deterministic stream",
    "models": "CifarResNet VanillaResNet",
    "theory": "sensitivities discrepancies regularizer expected_loss",
}


@pytest.mark.parametrize("floor", FLOORS)
def test_all_names_exist_and_nothing_else_is_visible(floor):
    module = importlib.import_module(f"stochastic_depth.{floor}")
    assert len(module.__all__) == len(set(module.__all__)) > 0
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


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
