"""The figures for other programs: plain values, the same as the objects hold."""

import json
from pathlib import Path

import pytest

from stochastic_depth.experiments import EPOCH_SECONDS, Comparison, results
from tests.experiments.records import comparison, write_comparison, write_run


def test_figures_survive_json_and_equal_the_objects(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=tuple(range(6)))
    figures = json.loads(json.dumps(results(runs), allow_nan=False))
    difference = runs.difference("stochastic", runs.test_error)
    found = figures["differences"]["stochastic"]
    assert figures["decided_by"] == "test_error_last"
    assert found["differences"] == pytest.approx(difference.differences)
    assert found["p_wilcoxon"] == pytest.approx(difference.p_wilcoxon)
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
