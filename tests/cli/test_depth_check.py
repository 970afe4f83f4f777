"""The verb `depth-check`."""

import json

import pytest

import stochastic_depth as sd
from stochastic_depth.cli import main


def stable(depth):
    return sd.models.ScaledResNet(depth, 20, 8, 1, beta=0.5)


def unscaled(depth):
    return sd.models.ScaledResNet(depth, 20, 8, 1, beta=lambda _: 10.0)


FAST = ["--shape=8", "--repetitions=4", "--samples=2"]


def test_tells_the_regime(tmp_path, capsys, monkeypatch):
    path = tmp_path / "check.json"
    arguments = [f"{__name__}:stable", "--depths=8,32,128", "--margin=0.2", f"--json={path}"]
    assert main(["depth-check", *arguments, *FAST]) == 0
    printed = capsys.readouterr().out
    assert "hidden states: stable: the relative change grows as L^s" in printed
    record = json.loads(path.read_text())
    assert record["hidden"]["verdict"] == record["gradients"]["verdict"] == "stable"
    assert list(record["hidden"]["log10_change"]) == ["8", "32", "128"]


def test_an_overflow_is_said_in_words(tmp_path, capsys):
    path = tmp_path / "check.json"
    arguments = [f"{__name__}:unscaled", "--depths=8,100", f"--json={path}"]
    assert main(["depth-check", *arguments, *FAST]) == 0
    printed = capsys.readouterr().out
    assert "hidden states: explosion: overflow in layer" in printed
    assert "nan" not in printed.lower()
    assert json.loads(path.read_text())["hidden"]["log10_change"]["100"] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.such:thing"], "factory must be PACKAGE.MODULE:NAME of a function"),
        ([f"{__name__}:FAST"], "factory must be a function from a depth to a model; got list"),
        ([f"{__name__}:stable", "--depths=8,x"], "depths must be whole numbers separated by com"),
        ([f"{__name__}:stable", "--depths=0,8"], "depths must be at least 1; got 0"),
        ([f"{__name__}:stable", "--depths=8"], "depths must be at least two different ones"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, capsys):
    assert main(["depth-check", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
