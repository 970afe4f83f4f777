"""`sdepth report`: any runs, also while they train; and why not, where not."""

from pathlib import Path

import pytest

from stochastic_depth.cli import main
from tests.experiments.records import write_comparison, write_run


def refused(capsys: pytest.CaptureFixture, *words: str | Path) -> str:
    """Return the one line with which a report is refused."""
    assert main(["report", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sdepth: ")
    assert said.count("\n") == 1
    return said


def test_an_empty_directory(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "holds no run: run.json is nowhere below it" in refused(capsys, tmp_path)
    assert "There is no directory" in refused(capsys, tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("run.json", '{"name": "cif', "run.json cannot be read"),
        ("run.json", '{"name": "other"}', "is not the record of a run"),
        ("config.yaml", None, "is not a run directory: config.yaml is missing"),
        ("metrics.csv", "epoch,step\n1,2\n", "metrics.csv must have the column lr"),
        ("gates.npy", "not numpy", "gates.npy cannot be read"),
    ],
)
def test_a_half_written_directory(
    name: str, text: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = write_run(tmp_path / "run")
    (run / name).unlink() if text is None else (run / name).write_text(text)
    assert complaint in refused(capsys, run)
    assert not (run / "report.html").exists()


def test_runs_that_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = write_run(tmp_path / "first")
    twin = write_run(tmp_path / "twin")
    assert "are both variant 'stochastic', seed 0" in refused(capsys, first, twin)
    longer = write_run(tmp_path / "longer", seed=1, epochs=30)
    assert "cannot be compared: epochs is 24 in the one and 30" in refused(capsys, first, longer)
    other = write_run(tmp_path / "other", variant="constant", last=1.0, data={"test": 7})
    assert "data.test is 7 in the one and 3000 in the other" in refused(capsys, first, other)


def test_runs_are_joined_while_they_train(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that no cell is folded
    write_comparison(tmp_path / "done", seeds=(0,))
    running = write_run(tmp_path / "elsewhere", seed=1, status="running")
    (running / "gates.npy").unlink()
    begun = write_run(tmp_path / "begun", seed=2, status="running")
    for name in ("gates.npy", "metrics.csv"):
        (begun / name).unlink()
    page = tmp_path / "page.html"
    tops = [tmp_path / "done", running, begun]
    assert main(["report", *map(str, tops), f"--out={page}"]) == 0
    assert "2 runs not finished yet." in page.read_text()
    assert "stochastic/seed-2" in capsys.readouterr().out


def test_pictures_need_no_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    write_run(tmp_path / "run", variant="constant", last=1.0, epochs=4, steps_per_epoch=3)
    pictures = tmp_path / "pictures"
    assert main(["report", str(tmp_path / "run"), f"--figures={pictures}", "--quiet"]) == 0
    assert (pictures / "test_error.png").read_bytes().startswith(b"\x89PNG")
