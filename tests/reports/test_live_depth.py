"""How many blocks ran: the exact law against enumeration, and what is drawn of it."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from stochastic_depth.experiments import Comparison, RunRecord
from stochastic_depth.reports import figures
from stochastic_depth.reports._curves import over_seeds
from stochastic_depth.reports._live_depth import exact_depth_law
from tests.experiments.records import write_comparison, write_run
from tests.reports.drawings import figure, rows

DEPTH = {"enabled": True, "schedule": "linear", "last": 0.3}


def test_independent_gates_follow_the_poisson_binomial_law(tmp_path: Path) -> None:
    run = RunRecord.read(write_run(tmp_path / "run", last=0.3, num_blocks=6))
    law = np.zeros(7)
    for gates in itertools.product([0, 1], repeat=6):
        law[sum(gates)] += np.prod(np.where(gates, run.survival, 1 - run.survival))
    assert exact_depth_law(run) == pytest.approx(law, abs=1e-12)


def test_a_fixed_depth_has_two_values(tmp_path: Path) -> None:
    config = {"depth": DEPTH | {"law": "fixed-depth"}}
    run = RunRecord.read(write_run(tmp_path / "run", last=0.3, num_blocks=6, config=config))
    law = exact_depth_law(run)
    assert np.count_nonzero(law) == 2
    assert law.sum() == pytest.approx(1)
    assert law @ np.arange(7) == pytest.approx(run.survival.sum())


@pytest.mark.parametrize("changes", [{"per": "sample"}, {"curriculum": "warmup", "until": 0.2}])
def test_no_law_of_one_step(tmp_path: Path, changes: dict) -> None:
    run = RunRecord.read(write_run(tmp_path / "run", config={"depth": DEPTH | changes}))
    assert exact_depth_law(run) is None


def test_histogram_counts_the_depths_of_all_seeds(runs: Comparison) -> None:
    bars = rows(figure(runs, "depth").specification(), "upper", "share")
    depths = np.concatenate([run.gates.sum(1) for run in runs.finished("stochastic").values()])
    for bar in bars:
        share = 100 * (depths == round(bar["depth"] + 0.4)).mean()
        assert bar["share"] == pytest.approx(share, abs=1e-3)
    assert sum(bar["share"] for bar in bars) == pytest.approx(100, abs=0.01)


def test_survival_shows_the_wanted_and_the_realised_share(runs: Comparison) -> None:
    points = rows(figure(runs, "survival").specification(), "block", "realised")
    run = runs.finished("stochastic")[0]
    own = [point for point in points if point["variant"] == "stochastic"]
    assert [point["survival"] for point in own] == pytest.approx(list(run.survival))
    assert [point["realised"] for point in own] == pytest.approx(run.gates.mean(0), abs=1e-4)


def test_a_curriculum_is_drawn_epoch_by_epoch(tmp_path: Path) -> None:
    still = Comparison.read(write_comparison(tmp_path / "still", seeds=(0,)))
    assert "curriculum" not in {drawn.name for drawn in figures(still)}
    top = write_comparison(tmp_path / "moving", seeds=(0, 1))
    for file in top.rglob("config.yaml"):
        config = yaml.safe_load(file.read_text())
        config["depth"]["curriculum"] = "warmup"
        file.write_text(yaml.safe_dump(config))
    runs = Comparison.read(top)
    tables = figure(runs, "curriculum").specification()["datasets"].values()
    points = [(row["epoch"], row["mean"], row["variant"]) for table in tables for row in table]
    expected, realised = (
        over_seeds(runs, column) for column in ("expected_depth", "realised_depth")
    )
    for table in (expected, realised):
        assert set(table.select("epoch", "mean", "variant").rows()) <= set(points)
    assert len(points) == expected.height + realised.height
