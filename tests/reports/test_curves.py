"""Curves draw what was recorded, on axes that show it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import figures
from stochastic_depth.reports._curves import ideals, over_seeds, settled
from tests.experiments.records import comparison, write_comparison
from tests.reports.drawings import figure, rows


def test_curve_is_the_mean_and_the_range_of_the_seeds(runs: Comparison) -> None:
    table = over_seeds(runs, "test_error")
    for variant in runs.variants:
        columns = [
            run.metrics["test_error"].to_numpy() for run in runs.runs if run.variant == variant
        ]
        curve = table.filter(variant=variant)
        assert curve["mean"].to_numpy() == pytest.approx(np.mean(columns, axis=0), rel=1e-4)
        assert curve["low"].to_numpy() == pytest.approx(np.min(columns, axis=0), rel=1e-4)
        assert curve["high"].to_numpy() == pytest.approx(np.max(columns, axis=0), rel=1e-4)
        assert len(columns) == 3


def test_epochs_that_were_not_evaluated_are_left_out(tmp_path: Path) -> None:
    top = write_comparison(tmp_path, seeds=(0,))
    for file in top.rglob("metrics.csv"):
        table = pl.read_csv(file)
        every_fourth = pl.when(pl.col("epoch") % 4 == 0).then("test_error")
        table.with_columns(test_error=every_fourth).write_csv(file)
    found = over_seeds(Comparison.read(top), "test_error")["epoch"].unique().sort()
    assert found.to_list() == [4, 8, 12, 16, 20, 24]


def test_circles_are_the_best_validation_epochs(runs: Comparison) -> None:
    points = rows(figure(runs, "test_error").specification(), "seed", "test_error")
    expected = {
        (run.variant, run.seed, run.summary.best_epoch, run.summary.test_error_at_best)
        for run in runs.runs
    }
    assert {tuple(point.values()) for point in points} == expected


def test_ideal_time_is_the_baseline_times_the_live_cost(runs: Comparison) -> None:
    (ideal,) = ideals(runs).iter_rows(named=True)
    base = np.mean(
        [np.median(run.metrics["seconds"]) for run in runs.finished("constant").values()]
    )
    live = np.mean([run.summary.live_cost for run in runs.finished("stochastic").values()])
    assert ideal == {"variant": "stochastic", "seconds": pytest.approx(base * live)}


def test_running_runs_are_drawn_as_far_as_they_came(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=(0,), status="running")
    assert over_seeds(runs, "train_loss")["epoch"].max() == 12
    assert "seeds" not in {figure.name for figure in figures(runs)}


def test_axis_fits_the_last_three_quarters_of_training() -> None:
    table = pl.DataFrame({"epoch": [1, 2, 3, 4], "low": [80, 20, 10, 9], "high": [90, 30, 12, 11]})
    low, high = settled(table, zero=False)
    assert low < 9 < 30 < high < 90
    assert settled(table, zero=True)[0] == 0
    flat = pl.DataFrame({"epoch": [1], "low": [5.0], "high": [5.0]})
    assert settled(flat, zero=False) == [4, 6]


def test_an_epoch_in_which_the_machine_slept_does_not_flatten_the_others() -> None:
    seconds = [4.0, 5.0, 1330.0, 4.0, 5.0, 4.0]
    table = pl.DataFrame({"epoch": range(1, 7), "low": seconds, "high": seconds})
    assert settled(table, zero=True)[1] < 20
