"""The verb `sweep`: several words after one option, and errors in one line."""

from pathlib import Path
from typing import Any

import pytest

from stochastic_depth import experiments
from stochastic_depth.cli import main


def test_axes_follow_one_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    class Stopped(Exception):
        pass

    def stand_in(config: Any, grid: Any, out: Path, **options: Any) -> None:
        asked.update(options, config=config, grid=grid, out=out)
        raise Stopped

    monkeypatch.setattr(experiments, "sweep", stand_in)
    words = ["demo_digits", "--epochs=2", "--grid", "schedule=uniform,linear", "seed=0:2"]
    with pytest.raises(Stopped, match="^$"):
        main(["sweep", *words, "--on", "ray", "--address=head:6379", "--out", str(tmp_path)])
    assert asked["grid"] == {"schedule": ("uniform", "linear"), "seed": (0, 1, 2)}
    assert (asked["on"], asked["address"], asked["out"]) == ("ray", "head:6379", tmp_path)
    assert asked["config"].epochs == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--grid", "bugdet=0.5"], "Did you mean 'budget'"),
        (["--grid", "budget"], "--grid must be FIELD=VALUE,VALUE"),
        (["--grid", "budget=0.5", "--on", "rey"], "ray"),
        ([], "grid"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["sweep", "demo_digits", *words, f"--out={tmp_path / 'out'}"]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
