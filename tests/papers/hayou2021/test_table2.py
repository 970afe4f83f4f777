from dataclasses import replace
from itertools import combinations

import pytest

from stochastic_depth.papers import Context, Measurement
from stochastic_depth.papers._experiment import errors_of
from stochastic_depth.papers.hayou2021.table2 import (
    PRINTED,
    SMOKE,
    Cells,
    modes,
    table2_cifar10,
    table2_cifar100,
    table2_resnet56,
    train_cells,
)


def test_printed_cells():
    """Table 2a: spot checks of column, row and the dashes below one half."""
    assert len(PRINTED) == 9 + 9 + 5 + 1
    assert PRINTED["sense 0.1"] == 15.4
    assert PRINTED["uniform 0.8"] == 5.7
    assert PRINTED["linear 0.5"] == 9.1
    assert PRINTED["linear 0.9"] == 6.0
    assert PRINTED["standard"] == 6.37


def test_the_hypothesis_changes_sides_with_the_budget():
    claims = {claim.name: claim for claim in table2_cifar10.claims}
    name = "test error of uniform minus that of SenseMode at budget {}, points".format
    sense_wins, uniform_wins = Measurement(1.0, 0.1), Measurement(-1.0, 0.1)
    assert claims[name(0.2)].verdict(sense_wins) == "held"
    assert claims[name(0.2)].verdict(uniform_wins) == "not held"
    assert claims[name(0.8)].verdict(uniform_wins) == "held"
    assert claims[name(0.8)].verdict(Measurement(0.1, 0.5)) == "cannot tell"


SETTINGS = Cells("cells", SMOKE, budgets=(0.7,), seeds=2, sense_batches=1)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, without_pages):
    directory = tmp_path_factory.mktemp("runs")
    return directory, train_cells(SETTINGS, Context(directory=directory))


def test_every_cell_is_trained_with_every_seed(swept):
    _, comparison = swept
    assert set(comparison.variants) == {"standard", "sense 0.7", "uniform 0.7", "linear 0.7"}
    for variant in comparison.variants:
        assert set(errors_of(comparison, variant)) == {0, 1}


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
    before = {path: path.stat().st_mtime_ns for path in directory.glob("cells/*/*/run.json")}
    assert len(before) == 8
    again = train_cells(SETTINGS, Context(directory=directory))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert errors_of(again, "sense 0.7") == errors_of(comparison, "sense 0.7")


def test_a_seed_draws_the_images_too(swept):
    _, comparison = swept
    for variant in comparison.variants:
        runs = comparison.finished(variant)
        first, second = (runs[seed].config["data"]["split_seed"] for seed in (0, 1))
        assert second == first + 1


def test_linear_decay_stops_at_one_half():
    assert "linear" in modes(0.5)
    assert "linear" not in modes(0.4)


@pytest.mark.parametrize("size", ["cpu", "paper"])
def test_no_table_repeats_another(size):
    tables = (table2_cifar10, table2_cifar100, table2_resnet56)
    trained = [replace(table.profiles[size], name="") for table in tables]
    assert all(one != other for one, other in combinations(trained, 2))
