"""Sweeps: identities, restarts, failures and tables, with a stand-in for training."""

import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats

from stochastic_depth import Unsupported
from stochastic_depth._errors import DataError, InvalidArgument
from stochastic_depth.experiments import Comparison, Sweep, sweep
from stochastic_depth.training import RunConfig, load
from tests.experiments import trainers

GRID = {"schedule": ("uniform", "linear"), "budget": (0.6, 0.8), "seed": (0, 1)}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load("demo_digits", {"epochs": 2})


def run(config: RunConfig, out: Path, grid: dict[str, Any] = GRID, **options: Any) -> Sweep:
    """Sweep with a stand-in for training, without a word."""
    options = {"run_one": trainers.write_record, "processes": 2} | options
    return sweep(config, grid, out, console=Console(file=io.StringIO()), **options)


def marks(out: Path) -> list[Path]:
    """Return one mark per run that was done, as often as it was."""
    return sorted((out / "marks").iterdir())


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of `swept`; a test that goes on with it takes a copy."""
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def swept(config: RunConfig, out: Path) -> Sweep:
    return run(config, out)


def test_every_cell_runs_once_with_every_seed(swept: Sweep, out: Path) -> None:
    assert len(marks(out)) == 8
    runs = swept.runs()
    assert runs.select("schedule", "budget", "seed").unique().height == runs.height == 8
    assert runs["identity"].n_unique() == 8
    for record in swept.comparison.runs:
        depth = record.config["depth"]
        assert record.variant == f"schedule={depth['schedule']} budget={depth['budget']}"
        assert depth["last"] is None
        assert record.config["threads"] == 1


def test_asking_again_does_only_what_is_missing(
    config: RunConfig, swept: Sweep, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    name = swept.comparison.runs[3].directory.name
    record = tmp_path / "runs" / name / "run.json"
    record.write_text(record.read_text().replace('"finished",', '"running",'))
    again = run(config, tmp_path)
    assert len(marks(tmp_path)) == 9
    assert again.runs().equals(swept.runs())


def test_a_larger_grid_keeps_the_runs_of_the_smaller(
    config: RunConfig, swept: Sweep, out: Path, tmp_path: Path
) -> None:
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    larger = run(config, tmp_path, GRID | {"budget": (0.6, 0.7, 0.8), "seed": (0, 1, 2)})
    assert larger.cells().height == 6
    assert len(marks(tmp_path)) == 18


def test_any_field_makes_another_run(config: RunConfig, tmp_path: Path) -> None:
    one = {"seed": (0,)}
    first = run(config, tmp_path, one)
    other = run(dataclasses.replace(config, batch_size=16), tmp_path, one)
    assert first.runs()["identity"][0] != other.runs()["identity"][0]
    assert len(marks(tmp_path)) == 2


def test_a_failed_run_is_listed_and_the_rest_goes_on(config: RunConfig, tmp_path: Path) -> None:
    grid = {"enabled": (False, True), "seed": (0, 1)}
    swept = run(config, tmp_path, grid, run_one=trainers.diverge_once_random)
    runs = swept.runs()
    assert runs["status"].to_list() == ["finished", "finished", "failed", "failed"]
    assert all("NaN in step 7" in error for error in runs["error"][2:])
    assert swept.cells()["n"].to_list() == [2, 0]
    assert swept.contrasts()["n"].to_list() == [0]
    again = run(config, tmp_path, grid)
    assert not again.comparison.failures
    assert again.cells()["n"].to_list() == [2, 2]


def test_nothing_to_report_on_says_why(config: RunConfig, tmp_path: Path) -> None:
    grid = {"last": (0.5, 0.6)}
    with pytest.raises(DataError, match=r"Of 2 runs none began\. last=0\.\d/seed-0: .*step 7"):
        run(config, tmp_path, grid, run_one=trainers.diverge_once_random)


def test_tables_say_what_the_records_say(config: RunConfig, tmp_path: Path) -> None:
    grid = {"enabled": (False, True), "seed": tuple(range(7))}
    swept = run(config, tmp_path, grid)
    errors = {
        enabled: [
            json.loads((run.directory / "run.json").read_text())["summary"]["test_error_last"]
            for run in swept.comparison.runs
            if run.config["depth"]["enabled"] is enabled
        ]
        for enabled in (False, True)
    }
    cells = swept.cells()
    assert cells["enabled"].to_list() == [False, True]
    assert cells["test_error_last_mean"].to_list() == pytest.approx(
        [np.mean(errors[False]), np.mean(errors[True])]
    )
    assert cells["test_error_last_std"].to_list() == pytest.approx(
        [np.std(errors[False], ddof=1), np.std(errors[True], ddof=1)]
    )
    contrast = swept.contrasts().row(0, named=True)
    assert (contrast["axis"], contrast["baseline"], contrast["value"]) == (
        "enabled", "False", "True",
    )  # fmt: skip
    judged = stats.ttest_rel(errors[False], errors[True])
    assert contrast["p"] == pytest.approx(judged.pvalue)
    interval = tuple(judged.confidence_interval(0.95))
    assert (contrast["low"], contrast["high"]) == pytest.approx(interval)
    assert contrast["difference"] == pytest.approx(np.mean(errors[False]) - np.mean(errors[True]))


def test_contrasts_run_along_every_axis(swept: Sweep) -> None:
    contrasts = swept.contrasts()
    found = contrasts.select("axis", "at", "baseline", "value").rows()
    assert found == [
        ("schedule", "budget=0.6", "uniform", "linear"),
        ("schedule", "budget=0.8", "uniform", "linear"),
        ("budget", "schedule=uniform", "0.6", "0.8"),
        ("budget", "schedule=linear", "0.6", "0.8"),
    ]
    assert contrasts["difference"].null_count() == 0


def test_tables_are_written(swept: Sweep, out: Path) -> None:
    for name in ("runs", "cells", "contrasts"):
        written = pl.read_csv(out / f"{name}.csv")
        assert written.columns == getattr(swept, name)().columns
        assert written.height == getattr(swept, name)().height
    assert Comparison.read(out).variants == swept.comparison.variants


def test_seeds_alone_are_one_cell(config: RunConfig, tmp_path: Path) -> None:
    swept = run(config, tmp_path, {"seed": (0, 1)})
    assert swept.comparison.variants == (config.name,)
    assert swept.cells()["n"].to_list() == [2]
    assert swept.contrasts().is_empty()


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "grid must be at least one axis"),
        ({"schedul": ("uniform",)}, "Did you mean 'schedule'"),
        ({"schedule": ("unifrm",)}, "Did you mean 'uniform'"),
        ({"last": (0.5, 1.5)}, r"in \[0, 1\]"),
        ({"seed": (-1,)}, "seed must be at least 0"),
    ],
)
def test_bad_grids_are_refused_before_anything_is_written(
    config: RunConfig, tmp_path: Path, grid: dict, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run(config, tmp_path / "out", grid)
    assert not (tmp_path / "out").exists()


def test_without_ray_it_says_how_to_get_it(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stochastic_depth.experiments._executors.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"pip install 'stochastic-depth\[cluster\]'"):
        run(config, tmp_path / "out", on="ray")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "rey"}, "Did you mean 'ray'"),
        ({"address": "10.0.0.1:6379"}, "address must be left out for a sweep on this machine"),
    ],
)
def test_places_that_are_refused(
    config: RunConfig, tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run(config, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_not_a_sweep(config: RunConfig, tmp_path: Path) -> None:
    comparison = run(config, tmp_path, {"seed": (0,)}).comparison
    plan = dataclasses.replace(comparison.plan, grid={})
    with pytest.raises(DataError, match="not those of a grid"):
        Sweep(dataclasses.replace(comparison, plan=plan))


@pytest.mark.slow
def test_ray_does_the_same(config: RunConfig, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    grid = {"enabled": (False, True), "seed": (0, 1)}
    there = run(config, tmp_path / "ray", grid, on="ray", run_one=trainers.diverge_once_random)
    here = run(config, tmp_path / "here", grid, run_one=trainers.diverge_once_random)
    timeless = pl.exclude("error")
    assert there.runs().select(timeless).equals(here.runs().select(timeless))
    assert all("NaN in step 7" in error for error in there.runs()["error"][2:])
    assert "ray" in sys.modules
