"""The verbs `compare` and `report`, on records that are there."""

import json
from pathlib import Path

import pytest

from stochastic_depth import experiments
from stochastic_depth.cli.compare import compare
from stochastic_depth.cli.report import report
from stochastic_depth.training import load
from tests.experiments.records import comparison, write_comparison


def test_compare_passes_on_what_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = {}

    def stand_in(config: object, variants: object, seeds: range, out: Path, **options: object):
        asked.update(options, variants=variants, seeds=list(seeds))
        return comparison(out)

    monkeypatch.setattr(experiments, "compare", stand_in)
    config = load("demo_digits", {"seed": 10})
    variants = ["constant depth.enabled=false", "stochastic depth.last=0.5"]
    figures = tmp_path / "figures.json"
    status = compare(config, tmp_path / "out", variants, seeds=2, parallel=1, json=figures)
    assert status == 0
    assert asked["seeds"] == [10, 11]
    assert asked["variants"] == {
        "constant": {"depth.enabled": "false"},
        "stochastic": {"depth.last": "0.5"},
    }
    assert asked["processes"] == 1
    assert "median epoch ÷ constant" in capsys.readouterr().out
    assert (tmp_path / "out/report.html").exists()
    assert json.loads(figures.read_text())["baseline"] == "constant"


def test_a_failed_run_is_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(config: object, variants: object, seeds: range, out: Path, **options: object):
        return comparison(out, seeds=(0,), status="failed", error="no memory")

    monkeypatch.setattr(experiments, "compare", stand_in)
    assert compare(load("demo_digits"), tmp_path / "out") == 1


def test_report_writes_page_pictures_and_figures(tmp_path: Path) -> None:
    top = write_comparison(tmp_path / "runs", seeds=(0, 1))
    status = report([top], figures=tmp_path / "pictures", json=tmp_path / "figures.json")
    assert status == 0
    assert (top / "report.html").exists()
    names = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert {"test_error.svg", "test_error.png", "depth.svg", "seeds.png"} <= names
    assert set(json.loads((tmp_path / "figures.json").read_text())["variants"]) == {
        "constant",
        "stochastic",
    }
