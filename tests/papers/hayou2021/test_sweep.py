from itertools import combinations

import pytest

from stochastic_depth.papers import Context
from stochastic_depth.papers.hayou2021 import table2_cifar10, table2_cifar100, table2_resnet56
from stochastic_depth.papers.hayou2021._cifar_profiles import SMOKE
from stochastic_depth.papers.hayou2021._sweep import SweepSettings, errors_by_seed, modes, sweep

SETTINGS = SweepSettings(SMOKE, budgets=(0.7,), seeds=2, sense_batches=1)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs")
    return directory, sweep(SETTINGS, Context(directory=directory))


def test_every_cell_is_trained_with_every_seed(swept):
    _, comparison = swept
    assert set(comparison.variants) == {"standard", "sense 0.7", "uniform 0.7", "linear 0.7"}
    for variant in comparison.variants:
        assert set(errors_by_seed(comparison, variant)) == {0, 1}


@pytest.mark.parametrize("mode", modes(0.7))
def test_every_mode_meets_the_budget(swept, mode):
    _, comparison = swept
    for run in comparison.finished(f"{mode} 0.7").values():
        survival = [block.survival for block in run.blocks]
        assert sum(survival) / len(survival) == pytest.approx(0.7, abs=1e-6)
        assert run.config["depth"]["rescale"] == "test"
        assert run.config["depth"]["dropped_grads"] == "zero"


def test_sensemode_is_neither_of_the_others(swept):
    _, comparison = swept
    survival = {
        mode: [block.survival for block in comparison.finished(f"{mode} 0.7")[0].blocks]
        for mode in modes(0.7)
    }
    assert max(survival["sense"]) - min(survival["sense"]) > 0.01
    assert survival["sense"] != pytest.approx(survival["linear"], abs=0.01)


def test_finished_runs_are_kept(swept):
    directory, comparison = swept
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*/*/run.json")}
    assert len(before) == 8
    again = sweep(SETTINGS, Context(directory=directory))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert errors_by_seed(again, "sense 0.7") == errors_by_seed(comparison, "sense 0.7")


def test_linear_decay_stops_at_one_half():
    assert "linear" in modes(0.5)
    assert "linear" not in modes(0.4)


@pytest.mark.parametrize("size", ["cpu", "paper"])
def test_no_table_repeats_another(size):
    tables = (table2_cifar10, table2_cifar100, table2_resnet56)
    trained = [table.ARTEFACT.profiles[size] for table in tables]
    assert all(one != other for one, other in combinations(trained, 2))
