"""Run directories: read back what was written, and say in words what is wrong with others."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from stochastic_depth._errors import DataError
from stochastic_depth.training import train
from stochastic_depth.training.record import COLUMNS
from stochastic_depth.training.run_record import MEASURES, RunRecord
from tests.experiments.records import write_run


def test_reads_what_was_written(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", variant="linear", seed=7, validation=500)
    record = RunRecord.read(directory)
    run = json.loads((directory / "run.json").read_text())
    for name in ("name", "variant", "seed", "status", "command", "versions", "hardware", "data"):
        assert getattr(record, name) == run[name]
    of_text = {"test_loss_at_best": None, "test_loss_last": None}  # not in older records
    assert vars(record.summary) == of_text | run["summary"]
    assert [vars(block) for block in record.blocks] == run["blocks"]
    assert record.config == yaml.safe_load((directory / "config.yaml").read_text())
    assert record.metrics.equals(pl.read_csv(directory / "metrics.csv"))
    assert np.array_equal(record.gates, np.load(directory / "gates.npy"))
    assert record.key == "linear/seed-7"
    assert record.survival == pytest.approx([1 - (k + 1) / 9 / 2 for k in range(9)])
    assert record.has_validation
    assert record.epochs_done == 24


def test_record_cannot_be_changed(tmp_path: Path) -> None:
    record = RunRecord.read(write_run(tmp_path / "run"))
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'seed'"):
        record.seed = 1


def test_running_run_gives_the_epochs_so_far(tmp_path: Path) -> None:
    record = RunRecord.read(write_run(tmp_path / "run", status="running"))
    assert record.summary is None
    assert record.epochs_done == 12


def test_run_that_has_just_begun_has_no_epochs(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status="running")
    (directory / "metrics.csv").unlink()
    (directory / "gates.npy").unlink()
    record = RunRecord.read(directory)
    assert record.epochs_done == 0
    assert record.gates is None


def test_absent_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no directory .*nowhere"):
        RunRecord.read(tmp_path / "nowhere")


def test_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a run directory: run\.json is missing\. Pass"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    directory = write_run(tmp_path / "run")
    (directory / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        RunRecord.read(directory)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b'{"name": "cifar10-sm'),
        ("run.json", b"\xff\xfe\x00"),
        ("config.yaml", b"epochs: [1, 2"),
        ("gates.npy", b"\x93NUMPY\x01\x00v\x00"),
        ("gates.npy", b""),
        ("metrics.csv", b"epoch,step\n1,two\n"),
    ],
)
def test_half_written_file(tmp_path: Path, name: str, content: bytes) -> None:
    directory = write_run(tmp_path / "run")
    (directory / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be read \(.+\)\. Run the training"):
        RunRecord.read(directory)


@pytest.mark.parametrize(("name", "content"), [("run.json", "[]"), ("config.yaml", "text")])
def test_file_of_another_kind(tmp_path: Path, name: str, content: str) -> None:
    directory = write_run(tmp_path / "run")
    (directory / name).write_text(content)
    with pytest.raises(DataError, match=r"must hold named fields; it holds (list|str)"):
        RunRecord.read(directory)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "finihsed"}, "status must be one of running, finished, failed"),
        ({"seed": ...}, "is not the record of a run: 'seed'"),
        ({"summary": None}, "says it is finished, but run.json has no summary"),
        ({"summary": {"best_epoch": 1}}, "lacks Summary.best_validation_error"),
        ({"blocks": [{"index": 0}]}, "lacks BlockRecord.path"),
        ({"blocks": []}, None),
    ],
)
def test_contradictory_record(tmp_path: Path, changes: dict, message: str | None) -> None:
    directory = write_run(tmp_path / "run")
    run = json.loads((directory / "run.json").read_text()) | changes
    run = {name: value for name, value in run.items() if value is not ...}
    (directory / "run.json").write_text(json.dumps(run))
    if message is None:
        assert RunRecord.read(directory).num_blocks == 0
        return
    with pytest.raises(DataError, match=message):
        RunRecord.read(directory)


def test_gates_of_another_network(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    np.save(directory / "gates.npy", np.ones((10, 8), dtype=np.uint8))
    with pytest.raises(
        DataError, match=r"one column for each of the 9 blocks; its shape is \(10, 8"
    ):
        RunRecord.read(directory)


def test_metrics_with_an_epoch_twice(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    lines = (directory / "metrics.csv").read_text().splitlines()
    (directory / "metrics.csv").write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match="one row per epoch; an epoch appears twice"):
        RunRecord.read(directory)


def test_metrics_without_a_column(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    pl.read_csv(directory / "metrics.csv").drop("seconds").write_csv(directory / "metrics.csv")
    with pytest.raises(DataError, match="must have the column seconds; it has epoch, step"):
        RunRecord.read(directory)


def test_finished_run_without_epochs(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    (directory / "metrics.csv").unlink()
    with pytest.raises(DataError, match=r"says it is finished, but metrics\.csv has no rows"):
        RunRecord.read(directory)


def test_measures_of_a_run_that_has_been_trained(config, run) -> None:
    written = train(config(), run, progress=False)
    record = RunRecord.read(run)
    assert vars(record.summary) == written["summary"]
    assert list(COLUMNS) == record.metrics.columns
    seconds = sorted(record.metrics["seconds"])
    for name, measure in MEASURES.items():
        middle = (seconds[1] + seconds[2]) / 2
        derived = {"epoch_seconds": middle, "tokens_per_second": None}
        expected = derived[name] if name in derived else written["summary"][name]
        assert measure(record) == pytest.approx(expected), name


def test_a_run_that_is_not_finished_has_no_measures(tmp_path: Path) -> None:
    record = RunRecord.read(write_run(tmp_path / "run", status="running"))
    assert {measure(record) for measure in MEASURES.values()} == {None}
