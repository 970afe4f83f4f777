import math
from dataclasses import replace

import pytest

from stochastic_depth.papers import Context, _experiment
from stochastic_depth.papers._experiment import (
    CONSTANT,
    STOCHASTIC,
    by_seed,
    errors_of,
    lower_by,
    mean,
    remarks,
    trained,
)
from stochastic_depth.papers.huang2016._profiles import profiles
from tests.experiments.records import comparison, write_run

SMOKE = profiles("smoke", "huang2016_cifar10", {})["smoke"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs")
    return directory, trained(SMOKE, Context(seed=3, directory=directory))


def test_runs_are_kept_with_a_page_beside_them(kept):
    directory, _ = kept
    files = {path.relative_to(directory).parts for path in directory.rglob("run.json")}
    assert files == {
        ("smoke-smoke", variant, "seed-3", "run.json") for variant in (CONSTANT, STOCHASTIC)
    }
    page = (directory / "smoke-smoke/report.html").read_text()
    assert "the epoch of lowest validation error" in page


def test_finished_runs_are_not_trained_again(kept, monkeypatch):
    monkeypatch.setattr(_experiment, "write_page", lambda comparison, path: None)
    directory, _ = kept
    times = {path: path.stat().st_mtime_ns for path in directory.rglob("metrics.csv")}
    fewer = replace(SMOKE, variants={CONSTANT: SMOKE.variants[CONSTANT]})
    again = trained(fewer, Context(seed=3, directory=directory))
    assert set(again.variants) == {CONSTANT, STOCHASTIC}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_remarks_say_what_was_cut(kept):
    images, cuts = remarks(kept[1])
    assert images == "Trained on digits: 32 training, 16 validation and 16 test images, seeds 3."
    assert cuts.startswith("Against the recipe huang2016_cifar10: model.init_args.depth = 8, ")
    assert "epochs = 2" in cuts


def test_the_remarks_say_what_failed(tmp_path):
    whole = comparison(tmp_path)
    assert len(remarks(whole)) == 1
    write_run(tmp_path / "failed", variant="x", status="failed", error="the loss became NaN")
    failed = remarks(type(whole).read(tmp_path))
    assert "x/seed-0 failed: the loss became NaN" in failed


def test_numbers_are_paired_by_seed(tmp_path):
    runs = comparison(tmp_path, seeds=(0, 1))
    write_run(tmp_path / "third", variant=CONSTANT, seed=2, last=1.0)
    runs = type(runs).read(tmp_path)
    seeds = by_seed(runs, CONSTANT, STOCHASTIC, lambda base, run: 10.0 * base.seed + run.seed)
    assert seeds == [0.0, 11.0]
    base, other = errors_of(runs, CONSTANT), errors_of(runs, STOCHASTIC)
    assert set(base) == {0, 1, 2}
    gaps = [base[seed] - other[seed] for seed in (0, 1)]
    measured = lower_by(runs, CONSTANT, STOCHASTIC)
    assert measured.value == pytest.approx(sum(gaps) / 2)
    assert measured.standard_error == pytest.approx(abs(gaps[0] - gaps[1]) / 2)
    assert measured.n == 2


def test_one_seed_has_no_standard_error():
    assert mean([1.0]) is None
    found = mean([1.0, 2.0, 6.0])
    assert (found.value, found.n) == (3.0, 3)
    assert found.standard_error == pytest.approx(math.sqrt(7 / 3))
