"""The verb `rate`: what it passes on, what it writes, and errors in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from stochastic_depth import experiments
from stochastic_depth.cli import main
from stochastic_depth.experiments import Comparison, PairedDifference, Rate
from tests.experiments.records import write_run


def test_it_passes_on_what_it_is_asked_for_and_writes_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked: dict[str, Any] = {}

    def stand_in(config: Any, out: Path, **options: Any) -> Rate:
        asked.update(options, config=config, out=out)
        write_run(out / "run", variant="constant", last=1.0, validation=50)
        return Rate(Comparison.read(out), PairedDifference((0.1, 0.2, 0.15)), 1.0)

    monkeypatch.setattr(experiments, "rate", stand_in)
    words = ["demo_digits", "--epochs=2", "--grid", "schedule=linear", "budget=0.5:0.7:0.1"]
    more = ["--equal=time", "--seeds=7", "--on", "ray", "--address=head:6379", "--worth=0.5"]
    out, answer = tmp_path / "out", tmp_path / "answer.json"
    assert main(["rate", *words, *more, f"--out={out}", f"--json={answer}"]) == 0
    assert asked["grid"] == {"schedule": ("linear",), "budget": (0.5, 0.6, 0.7)}
    assert (asked["equal"], asked["seeds"], asked["worth"]) == ("time", 7, 0.5)
    assert (asked["on"], asked["address"], asked["out"]) == ("ray", "head:6379", out)
    assert asked["config"].epochs == 2
    assert "None: this network does not overfit here." in capsys.readouterr().out
    assert "does not overfit" in (out / "rate.html").read_text()
    assert json.loads(answer.read_text())["verdict"] == "fits"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--grid", "budget=1.3"], "budget must be in [0, 1]; got 1.3"),
        (["--grid", "last=-0.5"], "got -0.5"),
        (["--data.name", "no/where/../folder"], "no/where"),
        (["--equal", "steps"], "steps"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["rate", "demo_digits", *words, f"--out={tmp_path / 'out'}"]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
