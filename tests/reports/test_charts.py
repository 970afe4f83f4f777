"""Charts: what they draw is what was recorded, and every one of them can be rendered."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import Figure, charts, figures
from tests.experiments.records import comparison, write_comparison, write_run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return comparison(tmp_path_factory.mktemp("runs"), validation=500)


def rows(specification: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """Return the rows of the data set of a specification that has these columns."""
    for table in specification["datasets"].values():
        if table and set(columns) <= table[0].keys():
            return table
    raise LookupError(columns)


def figure(runs: Comparison, name: str) -> Figure:
    return next(figure for figure in figures(runs) if figure.name == name)


def test_every_figure_is_there_once(runs: Comparison) -> None:
    names = [figure.name for figure in figures(runs)]
    assert len(set(names)) == len(names)
    assert set(names) == {
        "seeds",
        "test_error",
        "train_error",
        "validation_error",
        "test_loss",
        "train_loss",
        "passes-stochastic",
        "gates-stochastic",
        "depth",
        "survival",
        "timing",
        "gradient",
    }


def test_every_figure_renders_on_the_page_and_alone(runs: Comparison, tmp_path: Path) -> None:
    for drawn in figures(runs):
        still = ElementTree.fromstring(drawn.still())  # noqa: S314  # our own drawing
        assert still.tag.endswith("svg")
        assert "var(--" in drawn.still()
        assert 'opacity="0"' not in drawn.still()  # nothing that only a pointer would show
        svg, png = drawn.save(tmp_path)
        assert drawn.title in svg.read_text()
        assert "var(--" not in svg.read_text()
        assert png.read_bytes().startswith(PNG)
        assert drawn.caption
        assert drawn.description


def test_every_vertical_axis_names_its_quantity(runs: Comparison) -> None:
    for drawn in figures(runs):
        text = drawn.svg()
        titles = [node for node in text.split("<") if 'class="mark-text role-axis-title' in node]
        assert len(titles) >= 2, drawn.name


def test_curve_is_the_mean_and_the_range_of_the_seeds(runs: Comparison) -> None:
    table = charts.over_seeds(runs, "test_error")
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
    found = charts.over_seeds(Comparison.read(top), "test_error")["epoch"].unique().sort()
    assert found.to_list() == [4, 8, 12, 16, 20, 24]


def test_circles_are_the_best_validation_epochs(runs: Comparison) -> None:
    points = rows(figure(runs, "test_error").specification(), "seed", "test_error")
    expected = {
        (run.variant, run.seed, run.summary.best_epoch, run.summary.test_error_at_best)
        for run in runs.runs
    }
    assert {tuple(point.values()) for point in points} == expected


def test_points_by_seed_are_the_deciding_errors(runs: Comparison) -> None:
    points = rows(figure(runs, "seeds").specification(), "seed", "error")
    expected = {(run.variant, run.seed, run.summary.test_error_at_best) for run in runs.runs}
    assert {tuple(point.values()) for point in points} == expected


def test_raster_shows_the_recorded_gates(runs: Comparison) -> None:
    run = runs.finished("stochastic")[0]
    stretches = rows(figure(runs, "gates-stochastic").specification(), "step", "first", "last")
    drawn = np.zeros_like(run.gates)
    for stretch in stretches:
        drawn[
            stretch["step"], round(stretch["first"] - 0.55) : round(stretch["last"] + 0.55) - 1
        ] = 1
    steps = sorted({stretch["step"] for stretch in stretches})
    assert len(steps) == 120
    assert np.array_equal(drawn[steps], run.gates[steps])


def test_raster_of_a_draw_per_sample_is_as_dark_as_the_share(runs: Comparison) -> None:
    shares = np.array([[0.25, 0.25, 0.0], [1.0, 0.5, 0.5]])
    drawn = charts.raster(runs, "stochastic", shares).data
    assert drawn["share"].to_list() == [0.25, 1.0, 0.5]
    assert drawn["depth"].to_list() == [0.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("steps", "blocks", "drawn"),
    [(1, 9, 1), (7, 9, 7), (120, 54, 120), (176_000, 54, 120), (900, 100, 80), (900, 600, 30)],
)
def test_raster_stays_light(steps: int, blocks: int, drawn: int) -> None:
    found = charts.drawn_steps(steps, blocks)
    assert len(found) == drawn
    assert found[0] == 0
    assert found[-1] == steps - 1


def test_histogram_counts_the_depths_of_all_seeds(runs: Comparison) -> None:
    bars = rows(figure(runs, "depth").specification(), "upper", "share")
    depths = np.concatenate([run.gates.sum(1) for run in runs.finished("stochastic").values()])
    for bar in bars:
        share = 100 * (depths == round(bar["depth"] + 0.4)).mean()
        assert bar["share"] == pytest.approx(share, abs=1e-3)
    assert sum(bar["share"] for bar in bars) == pytest.approx(100, abs=0.01)


def test_ideal_time_is_the_baseline_times_the_live_cost(runs: Comparison) -> None:
    (ideal,) = charts.ideals(runs).iter_rows(named=True)
    base = np.mean(
        [np.median(run.metrics["seconds"]) for run in runs.finished("constant").values()]
    )
    live = np.mean([run.summary.live_cost for run in runs.finished("stochastic").values()])
    assert ideal == {"variant": "stochastic", "seconds": pytest.approx(base * live)}


def test_survival_shows_the_wanted_and_the_realised_share(runs: Comparison) -> None:
    points = rows(figure(runs, "survival").specification(), "block", "realised")
    run = runs.finished("stochastic")[0]
    own = [point for point in points if point["variant"] == "stochastic"]
    assert [point["survival"] for point in own] == pytest.approx(list(run.survival))
    assert [point["realised"] for point in own] == pytest.approx(run.gates.mean(0), abs=1e-4)


def test_constant_depth_alone_has_no_figures_of_random_depth(tmp_path: Path) -> None:
    write_run(tmp_path / "run", variant="constant", last=1.0)
    names = {figure.name for figure in figures(Comparison.read(tmp_path))}
    assert not names & {"gates-constant", "passes-constant", "depth", "survival"}
    assert "test_error" in names


def test_a_run_without_epochs_has_no_figures(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status="running")
    (directory / "metrics.csv").unlink()
    (directory / "gates.npy").unlink()
    assert figures(Comparison.read(directory)) == []


def test_running_runs_are_drawn_as_far_as_they_came(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=(0,), status="running")
    assert charts.over_seeds(runs, "train_loss")["epoch"].max() == 12
    assert "seeds" not in {figure.name for figure in figures(runs)}


def test_axis_fits_the_last_three_quarters_of_training() -> None:
    table = pl.DataFrame({"epoch": [1, 2, 3, 4], "low": [80, 20, 10, 9], "high": [90, 30, 12, 11]})
    low, high = charts.settled(table, zero=False)
    assert low < 9 < 30 < high < 90
    assert charts.settled(table, zero=True)[0] == 0
    flat = pl.DataFrame({"epoch": [1], "low": [5.0], "high": [5.0]})
    assert charts.settled(flat, zero=False) == [4, 6]


def test_an_epoch_in_which_the_machine_slept_does_not_flatten_the_others() -> None:
    seconds = [4.0, 5.0, 1330.0, 4.0, 5.0, 4.0]
    table = pl.DataFrame({"epoch": range(1, 7), "low": seconds, "high": seconds})
    assert charts.settled(table, zero=True)[1] < 20


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
        charts.over_seeds(runs, column) for column in ("expected_depth", "realised_depth")
    )
    for table in (expected, realised):
        assert set(table.select("epoch", "mean", "variant").rows()) <= set(points)
    assert len(points) == expected.height + realised.height
