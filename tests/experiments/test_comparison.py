"""Runs side by side: what is paired with what, and which runs may not be compared."""

import json
from pathlib import Path

import polars as pl
import pytest

from stochastic_depth._errors import DataError, InvalidArgument
from stochastic_depth.experiments import (
    EPOCH_SECONDS,
    SECONDS,
    TEST_ERROR_AT_BEST,
    TEST_ERROR_LAST,
    Comparison,
    Plan,
    differing_fields,
    results,
)
from tests.experiments.records import comparison, write_comparison, write_run


def summaries(top: Path, variant: str, field: str) -> list[float]:
    """Return a figure of every run straight from the files, in the order of seeds."""
    files = sorted(top.glob(f"{variant}/seed-*/run.json"))
    return [json.loads(file.read_text())["summary"][field] for file in files]


def test_variants_seeds_and_baseline(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=(2, 0, 1))
    assert runs.variants == ("constant", "stochastic")
    assert runs.baseline == "constant"
    assert runs.seeds == (0, 1, 2)
    assert [run.key for run in runs.runs][:2] == ["constant/seed-0", "constant/seed-1"]


def test_constant_depth_is_the_baseline_whatever_its_name(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="always-random", seed=0)
    write_run(tmp_path / "b", variant="zero-drop", seed=0, last=1.0)
    assert Comparison.read(tmp_path / "a", tmp_path / "b").baseline == "zero-drop"


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    runs = comparison(tmp_path)
    base = summaries(tmp_path, "constant", "test_error_last")
    other = summaries(tmp_path, "stochastic", "test_error_last")
    difference = runs.difference("stochastic", TEST_ERROR_LAST)
    assert difference.differences == pytest.approx(
        [a - b for a, b in zip(base, other, strict=True)]
    )
    seconds = [summaries(tmp_path, v, "seconds") for v in ("constant", "stochastic")]
    expected = sum(b / a for a, b in zip(*seconds, strict=True)) / 3
    assert runs.ratio("stochastic", SECONDS).mean == pytest.approx(expected)


def test_a_seed_that_one_variant_lacks_is_not_paired(tmp_path: Path) -> None:
    write_comparison(tmp_path)
    write_run(tmp_path / "stochastic/seed-9", seed=9)
    write_run(tmp_path / "constant/seed-9", variant="constant", seed=9, last=1.0, status="failed")
    runs = Comparison.read(tmp_path)
    assert runs.difference("stochastic", TEST_ERROR_LAST).n == 3
    assert runs.spread("stochastic", TEST_ERROR_LAST).n == 4
    assert [run.key for run in runs.unfinished] == ["constant/seed-9"]
    assert runs.finished("constant").keys() == {0, 1, 2}


def test_test_error_is_taken_at_the_best_validation_epoch_where_there_is_one(
    tmp_path: Path,
) -> None:
    assert comparison(tmp_path / "a").test_error is TEST_ERROR_LAST
    validated = comparison(tmp_path / "b", validation=500)
    assert validated.test_error is TEST_ERROR_AT_BEST
    best = summaries(tmp_path / "b", "constant", "test_error_at_best")
    assert validated.spread("constant", TEST_ERROR_AT_BEST).mean == pytest.approx(sum(best) / 3)


def test_plan_orders_the_variants_and_tells_of_failures(tmp_path: Path) -> None:
    write_comparison(tmp_path)
    failures = {"stochastic/seed-3": "out of memory"}
    order = {"stochastic": {}, "constant": {"depth.enabled": False}}
    plan = Plan("r", order, (0, 1, 2, 3), processes=2, threads=1, failures=failures)
    plan.write(tmp_path / "compare.json")
    runs = Comparison.read(tmp_path)
    assert runs.plan == plan
    assert runs.baseline == "stochastic"
    assert runs.failures == failures


def test_one_slow_epoch_does_not_move_the_time_of_an_epoch(tmp_path: Path) -> None:
    top = write_comparison(tmp_path, seeds=(0,))
    before = Comparison.read(top).ratio("stochastic", EPOCH_SECONDS).mean
    file = top / "constant/seed-0/metrics.csv"
    table = pl.read_csv(file)
    slept = pl.when(pl.col("epoch") == 17).then(1330.0).otherwise("seconds")
    table.with_columns(seconds=slept).write_csv(file)
    assert Comparison.read(top).ratio("stochastic", EPOCH_SECONDS).mean == pytest.approx(
        before, rel=0.05
    )


def test_what_differs_leaves_out_names_and_seeds(tmp_path: Path) -> None:
    differing = comparison(tmp_path).configuration_differences()
    assert differing == {"depth.enabled": (False, True), "depth.last": (1.0, 0.5)}


def test_differing_fields_sees_absent_ones() -> None:
    assert differing_fields({"a": {"b": 1}}, {"a": {}}) == {"a.b": (1, None)}
    assert differing_fields({"a": 1, "seed": 1}, {"a": 1, "seed": 2}) == {}


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no run: run\.json is nowhere below it"):
        Comparison.read(tmp_path)
    with pytest.raises(DataError, match="There is no directory"):
        Comparison.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="There are no runs to compare"):
        Comparison(())


def test_runs_tested_on_different_images(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", variant="a")
    other = write_run(tmp_path / "other", variant="b", data={"test": 10_000})
    message = r"cannot be compared: data\.test is 3000 in the one and 10000 in the other"
    with pytest.raises(DataError, match=message):
        Comparison.read(one, other)


def test_two_runs_of_one_seed(tmp_path: Path) -> None:
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other")
    with pytest.raises(DataError, match="are both variant 'stochastic', seed 0"):
        Comparison.read(one, other)


def test_runs_of_one_variant_that_differ_in_more_than_the_seed(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", seed=0)
    other = write_run(tmp_path / "other", seed=1, config={"batch_size": 32, "precision": "bf16"})
    message = r"batch_size is 64 in the one and 32 in the other \(and 1 more fields\)"
    with pytest.raises(DataError, match=message):
        Comparison.read(one, other)


def test_unknown_variant_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="Did you mean 'stochastic'"):
        comparison(tmp_path).finished("stocastic")


def test_damaged_plan(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    (tmp_path / "compare.json").write_text('{"name": "r"}')
    with pytest.raises(DataError, match=r"is not the record of a comparison: .*missing 3"):
        Comparison.read(tmp_path)


def test_figures_survive_json_and_equal_the_objects(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=tuple(range(6)))
    figures = json.loads(json.dumps(results(runs), allow_nan=False))
    difference = runs.difference("stochastic", runs.test_error)
    found = figures["differences"]["stochastic"]
    assert figures["decided_by"] == "test_error_last"
    assert found["differences"] == pytest.approx(difference.differences)
    assert found["p"] == pytest.approx(difference.p)
    assert found["interval"] == pytest.approx(list(difference.interval))
    assert found["wins"] == difference.wins
    ratio = runs.ratio("stochastic", EPOCH_SECONDS)
    assert figures["time_ratios"]["stochastic"] == {"mean": ratio.mean, "std": ratio.std, "n": 6}
    record = runs.finished("constant")[4]
    assert figures["runs"]["constant/seed-4"]["seconds"] == record.summary.seconds
    assert figures["variants"]["constant"]["test_error_at_best"] is None


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    write_run(tmp_path / "late/seed-0", variant="late", status="running")
    figures = json.loads(json.dumps(results(Comparison.read(tmp_path)), allow_nan=False))
    assert figures["runs"]["late/seed-0"] is None
    assert figures["differences"]["late"] is None
    assert figures["time_ratios"]["late"] is None
    assert figures["variants"]["constant"]["seconds"]["std"] is None
