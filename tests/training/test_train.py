"""A run that was stopped, in any way, ends as if it had not been; one that fails says why."""

import csv
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stochastic_depth import CheckpointError, InvalidArgument, RunDirectoryInUse, TrainingDiverged
from stochastic_depth.training import _checkpoint, load, override, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._launch import Ending
from stochastic_depth.training._measurements import Measurements
from stochastic_depth.training.run_record import RunRecord

FORKSERVER = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Return a function from settings to a run that nothing has stopped."""
    runs = {}

    def trained(settings) -> Path:
        key = json.dumps(settings.to_mapping())
        if key not in runs:
            runs[key] = tmp_path_factory.mktemp("reference") / "run"
            train(settings, runs[key], progress=False)
        return runs[key]

    return trained


class Stopped(BaseException):
    """Stands for the end of the process: nothing catches it."""


def outcome(run: Path) -> tuple[dict, list, bytes]:
    """Return the weights, what was measured but the seconds, and the gates."""
    state = read(run / "checkpoints" / "last.ckpt")
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    table = [{name: row[name] for name in row if name != "seconds"} for row in rows]
    within = run / "evaluations.csv"
    summary = json.loads((run / "run.json").read_text())["summary"] | {"seconds": None}
    return state["model"], [table, within.exists() and within.read_text(), summary], gates(run)


def gates(run: Path) -> bytes:
    path = run / "gates.npy"
    return path.read_bytes() if path.exists() else b""


def assert_same_outcome(run: Path, reference: Path) -> None:
    (weights, tables, drawn), (expected, expected_tables, expected_drawn) = map(
        outcome, (run, reference)
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert tables == expected_tables
    assert drawn == expected_drawn


def stop_after_checkpoint(monkeypatch, number: int) -> None:
    write, saved = _checkpoint.write, []

    def write_and_stop(state, path):
        write(state, path)
        saved.append(path.name == "last.ckpt")
        if sum(saved) == number:
            raise Stopped("after a checkpoint")

    monkeypatch.setattr(_checkpoint, "write", write_and_stop)


CADENCES = {
    "every epoch": {},
    "every second epoch": {"checkpoint_every": 2},
    "within the epoch": {"checkpoint_every_steps": 3},
    "at steps that end an epoch": {"checkpoint_every_steps": 4},
    "where evaluations fall": {"checkpoint_every_steps": 3, "evaluate_every_steps": 3},
    "constant depth": {"checkpoint_every_steps": 3, "depth__enabled": False},
    "sense, refitted": {
        "checkpoint_every_steps": 3,
        "depth__schedule": "sense",
        "depth__last": None,
        "depth__budget": 0.4,
        "depth__interval": 2,
        "depth__rescale": "train",  # gates 1/p tell apart probabilities that draw the same
    },
    "per sample": {"checkpoint_every_steps": 3, "depth__per": "sample"},
    "augmented": {"checkpoint_every_steps": 3, "data__flip": True, "data__shift": 1},
}


@pytest.mark.parametrize("cadence", CADENCES)
def test_from_every_checkpoint_to_the_same_end(cadence, config, tmp_path, monkeypatch):
    """The copies are what a process leaves behind that ends right after a checkpoint."""
    settings, write, copies = config(epochs=2, **CADENCES[cadence]), _checkpoint.write, []

    def write_and_copy(state, path):
        write(state, path)
        if path.name == "last.ckpt":
            copies.append(tmp_path / f"copy-{len(copies)}")
            shutil.copytree(path.parents[1], copies[-1])

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint, "write", write_and_copy)
        train(settings, tmp_path / "reference", progress=False)
    assert copies
    for run in copies:
        assert json.loads((run / "run.json").read_text())["status"] == "running"
        train(settings, run, progress=False)
        assert_same_outcome(run, tmp_path / "reference")


class WithDropout(nn.Module):
    """Draws from the global generator in every step."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.4), nn.Linear(8, num_classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_the_global_generators_go_on(config, tmp_path, monkeypatch, reference):
    settings = config(
        model=f"{__name__}.WithDropout", depth__enabled=False, checkpoint_every_steps=3, epochs=2
    )
    with monkeypatch.context() as patch:
        stop_after_checkpoint(patch, 2)
        with pytest.raises(Stopped, match="after a checkpoint"):
            train(settings, tmp_path / "stopped", progress=False)
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)
    train(settings, tmp_path / "stopped", progress=False)
    assert_same_outcome(tmp_path / "stopped", reference(settings))


def test_killed_at_random_moments(config, tmp_path, reference):
    """SIGKILL at the first sign of a run, then at random moments after that of the next ones."""
    settings = config(epochs=12, checkpoint_every_steps=3, evaluate_every_steps=5)
    run, moments = tmp_path / "killed", random.Random(0)  # noqa: S311
    assert killed(settings, run, 0) == -signal.SIGKILL
    exitcodes = [killed(settings, run, moments.uniform(0, 0.1)) for _ in range(8)]
    assert set(exitcodes) <= {0, -signal.SIGKILL}
    if exitcodes[-1]:  # it had no time to say so, and readers notice
        assert json.loads((run / "run.json").read_text())["status"] == "running"
        assert RunRecord.read(run).status == "interrupted"
    train(settings, run, progress=False)
    assert_same_outcome(run, reference(settings))


def killed(settings, run: Path, seconds: float) -> int:
    """Start a run, kill it some seconds after it first wrote a file, and say how it ended."""
    before = written(run)
    process = started(settings, run)
    while process.is_alive() and written(run) == before:
        time.sleep(0.001)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def started(settings, run: Path):
    """Return a process that trains."""
    process = FORKSERVER.Process(target=train, args=(settings, run), kwargs={"progress": False})
    process.start()
    return process


def written(run: Path) -> tuple[int, ...]:
    """Return when something was written in a run's directory: a rename changes its folder."""
    return tuple(
        folder.stat().st_mtime_ns for folder in (run, run / "checkpoints") if folder.exists()
    )


def test_sigterm_finishes_the_step_and_writes_a_checkpoint(config, tmp_path, reference):
    settings = config(epochs=16, checkpoint_every=16, evaluate_every=16)
    run = tmp_path / "terminated"
    process = started(settings, run)
    deadline = time.monotonic() + 120
    while not (run / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 128 + signal.SIGTERM
    assert 0 < read(run / "checkpoints" / "last.ckpt")["step"] < 64
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    train(settings, run, progress=False)
    assert_same_outcome(run, reference(settings))


def test_ctrl_c_is_handed_on_and_the_run_can_be_resumed(config, tmp_path, monkeypatch, reference):
    settings, run = config(), tmp_path / "interrupted"
    handler, add = signal.getsignal(signal.SIGINT), Measurements.add

    def interrupted(self, step, *arguments):
        add(self, step, *arguments)
        if step == 6:
            raise KeyboardInterrupt("pressed")

    with monkeypatch.context() as patch:
        patch.setattr(Measurements, "add", interrupted)
        with pytest.raises(KeyboardInterrupt, match="pressed"):
            train(settings, run, progress=False)
    assert signal.getsignal(signal.SIGINT) is handler
    begun = json.loads((run / "run.json").read_text()) | {"started": "2016-03-30T00:00:00"}
    assert (begun["status"], begun["error"]) == ("interrupted", None)
    (run / "run.json").write_text(json.dumps(begun))
    assert train(settings, run, progress=False)["started"] == "2016-03-30T00:00:00"
    assert_same_outcome(run, reference(settings))


def test_a_finished_run_is_left_as_it_is(config, run):
    record = train(config(), run, progress=False)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    assert train(config(), run, progress=False) == record
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.name != ".lock"}
    assert after == before


@pytest.mark.parametrize("damage", [lambda raw: raw[:1000], lambda raw: b""])
def test_a_damaged_checkpoint(damage, config, tmp_path, monkeypatch, caplog, reference):
    settings, run = config(), tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_after_checkpoint(patch, 3)
        with pytest.raises(Stopped, match="after a checkpoint"):
            train(settings, run, progress=False)
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    with caplog.at_level(logging.WARNING):
        train(settings, run, progress=False)
    assert "last.ckpt is damaged" in caplog.text
    assert "previous.ckpt, the one before it" in caplog.text
    assert_same_outcome(run, reference(settings))


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_good_one(config, run, monkeypatch):
    settings, last = config(), run / "checkpoints" / "last.ckpt"
    for number in (3, 1):
        with monkeypatch.context() as patch:
            stop_after_checkpoint(patch, number)
            with pytest.raises(Stopped, match="after a checkpoint"):
                train(settings, run, progress=False)
        assert read(last.with_name("previous.ckpt"))["step"] < 12
        last.write_bytes(last.read_bytes()[:1000])
    train(settings, run, progress=False)
    assert read(last)["step"] == 16


def test_only_damaged_checkpoints(config, run, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after_checkpoint(patch, 2)
        with pytest.raises(Stopped, match="after a checkpoint"):
            train(config(), run, progress=False)
    for path in (run / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"Train in another directory"):
        train(config(), run, progress=False)


# Two epochs go well; then the rate is absurd.
DIVERGING = {
    "learning_rate__initial": 1e30,
    "learning_rate__decay": "constant",
    "learning_rate__warmup_epochs": 2,
    "learning_rate__warmup_rate": 0.01,
}


@pytest.mark.parametrize("every_steps", [None, 1])
def test_a_diverging_run_keeps_its_last_good_checkpoint(every_steps, config, run):
    with pytest.raises(TrainingDiverged, match=r"must stay finite; .* Lower learning_rate.initial"):
        train(config(**DIVERGING, checkpoint_every_steps=every_steps), run, progress=False)
    step = read(run / "checkpoints" / "last.ckpt")["step"]
    assert step == 8 if every_steps is None else 8 <= step < 12
    for path in (run / "checkpoints").glob("*.ckpt"):
        state = read(path)
        assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "failed"
    assert "must stay finite" in record["error"]
    assert len((run / "metrics.csv").read_text().splitlines()) == 3


def test_a_failed_run_goes_on_from_its_checkpoint_and_fails_again(config, run):
    for _ in range(2):
        with pytest.raises(TrainingDiverged, match="must stay finite"):
            train(config(**DIVERGING), run, progress=False)
    assert read(run / "checkpoints" / "last.ckpt")["step"] == 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data__limit": 5000}, "data.limit"),
        ({"model__init_args__depth": 21}, "depth must be 6n \\+ 2"),
        ({"depth__last": None, "depth__budget": 0.1}, "budget must be in"),
        ({"model": "torchvision.models.resnet18"}, r"model ResNet must be a map from images \(1,"),
        ({"model": "torch.nn.Identity"}, "outputs of shape"),
        ({"optimizer__init_args__momentum": -1.0}, "SGD must be called .* Invalid momentum value"),
        ({"accelerator": "mps"}, "accelerator must be one this machine has; got 'mps'"),
        ({"accelerator": "tpu"}, "accelerator must be one of auto, cpu, gpu, mps; got 'tpu'"),
    ],
)
def test_nothing_is_written_before_the_run_could_start(overrides, message, config, run):
    with pytest.raises(ValueError, match=message):
        train(config(**overrides), run, progress=False)
    assert not run.exists()


def test_another_configuration_does_not_touch_the_run(config, run):
    train(config(), run, progress=False)
    before = (run / "run.json").read_text()
    with pytest.raises(RunDirectoryInUse, match="seed is 0 there and 1 here"):
        train(config(seed=1), run, progress=False)
    assert (run / "run.json").read_text() == before


def test_images_of_another_shape(config, run):
    with pytest.raises(InvalidArgument, match="data.image_size must be at least 1"):
        train(config(data__image_size=0), run, progress=False)


@pytest.fixture
def photographs(tmp_path):
    """A folder of 30 photographs of varying sizes, in two classes that differ in brightness."""
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate(random.integers(20, 50, (30, 2))):
        place = tmp_path / "photographs" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, (height, width, 3)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "photographs"


def test_photographs_are_resumed_within_an_epoch(photographs, tmp_path, monkeypatch):
    """After step 4 of epochs of 6 steps, by no workers in place of two; to the bit."""
    small = {
        "model.class_path": "stochastic_depth.models.CifarResNet",
        "model.init_args": {"depth": 8, "width": 4},
        "data.name": str(photographs),
        "data.image_size": 16,
        "data.mixing": [{"class_path": "torchvision.transforms.v2.MixUp"}],
        "epochs": 2,
        "batch_size": 4,
        "threads": 1,
        "loggers": [],
    }
    config = load("photographs", small | {"data.workers": 2})
    record = train(config, tmp_path / "whole", progress=False)
    steps = iter(range(1, 100))
    monkeypatch.setattr(Ending, "agreed", lambda self: next(steps) == 4)
    with pytest.raises(SystemExit):
        train(config, tmp_path / "left", progress=False)
    assert torch.load(tmp_path / "left" / "checkpoints" / "last.ckpt")["step"] == 4
    monkeypatch.undo()
    train(override(config, {"data.workers": 0}), tmp_path / "left", progress=False)
    ends = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt")["model"]
        for run in ("whole", "left")
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert (record["data"]["train"], record["data"]["test"]) == (24, 4)
    assert any("held out to validate" in note for note in record["data"]["notes"])


def test_skipped_photographs_are_on_the_record(photographs, tmp_path, caplog):
    (photographs / "a" / "8.png").write_bytes(b"no image")
    small = {
        "model.class_path": "stochastic_depth.models.CifarResNet",
        "model.init_args": {"depth": 8, "width": 4},
        "data": {"name": str(photographs), "image_size": 16, "workers": 0, "corrupt": "skip"},
        "epochs": 1,
        "loggers": [],
    }
    record = train(load("photographs", small), tmp_path / "run", progress=False)
    [skipped] = record["data"]["skipped"]
    assert skipped.endswith("8.png must be an image; it is of no known format.")
    assert "1 images could not be read and were skipped; run.json names them." in caplog.text
