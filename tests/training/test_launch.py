"""One run in several processes: as if it were one, however it is divided and whatever ends."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import nn

import stochastic_depth as sd
from stochastic_depth import InvalidArgument, ProcessLost, TrainingDiverged
from stochastic_depth.training import RunConfig, _train, load, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._launch import Ending, Place, launch, must_launch
from stochastic_depth.training.run_record import RunRecord

FORKSERVER = multiprocessing.get_context("forkserver")
PATIENCE = 120


class WithoutBatchStatistics(nn.Module):
    """Eight residual blocks on flat images; what one process sees changes nothing for another."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = sd.models.VanillaResNet(depth=8, width=8, inputs=64, outputs=num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.flatten(1))


def settings(**changes) -> RunConfig:
    """Ten steps of 24 images, every fifth of 5: one process gets 3 of them, the other 2."""
    fields = {
        "model": f"{__name__}.WithoutBatchStatistics",
        "data.limit": 102,
        "data.validation": 1,
        "data.test_limit": 60,
        "batch_size": 24,
        "epochs": 2,
        "evaluate_every": 1,
        "learning_rate.warmup_epochs": 0,
        "precision": "float64",
        "threads": 1,
        "accelerator": "cpu",
        "loggers": [],
        "depth.last": 0.4,
    }
    return load("demo_digits", fields | {k.replace("__", "."): v for k, v in changes.items()})


def start(config: RunConfig, run: Path, ranks: Iterable[int] | None = None, **more: str) -> list:
    """Start the processes of a run, or some, as torchrun does: by what it tells them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    world = str(config.processes)
    told = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "test"}
    told |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)} | more
    places = [
        told | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        for rank in (range(config.processes) if ranks is None else ranks)
    ]
    processes = [FORKSERVER.Process(target=_run, args=(config, run, place)) for place in places]
    for process in processes:
        process.start()
    return processes


def _run(config: RunConfig, run: Path, told: dict[str, str]) -> None:
    os.environ.update(told, TORCH_CPP_LOG_LEVEL="ERROR")
    train(config, run, progress=False)


def end(processes: list) -> list[int]:
    for process in processes:
        process.join(PATIENCE)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.001)


def trained(config: RunConfig, run: Path) -> Path:
    if config.processes == 1:
        train(config, run, progress=False)
    else:
        assert end(start(config, run)) == [0] * config.processes
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read(run / "checkpoints" / "last.ckpt")["model"]


def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def assert_as_one(run: Path, reference: Path) -> None:
    """Compare weights and log to rounding; the log says what all processes measured."""
    found, expected = weights(run), weights(reference)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-12, atol=1e-13)
    for ours, theirs in zip(rows(run), rows(reference), strict=True):
        for column in ours.keys() - {"seconds"}:
            close = pytest.approx(float(theirs[column] or 0), rel=1e-6)  # shares are float16
            assert float(ours[column] or 0) == close, column


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    return trained(settings(), tmp_path_factory.mktemp("runs") / "alone")


DIVISIONS = {
    "two processes": {"processes": 2},
    "three parts": {"accumulate": 3},
    "two processes, two parts": {"processes": 2, "accumulate": 2},
    "zero gradients": {"processes": 2, "depth__dropped_grads": "zero"},
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_a_divided_batch_trains_as_the_whole_one(name, alone, tmp_path):
    changes = DIVISIONS[name]
    kept = {k: v for k, v in changes.items() if k not in ("processes", "accumulate")}
    reference = trained(settings(**kept), tmp_path / "alone") if kept else alone
    assert_as_one(trained(settings(**changes), tmp_path / "divided"), reference)


def test_new_gates_for_each_part(tmp_path):
    run = trained(settings(accumulate=3, accumulated_gates="new", epochs=4), tmp_path / "new")
    import numpy as np

    shares = np.load(run / "gates.npy").astype(float)
    thirds = shares[:4] * 24  # batches of 24 in parts of 8
    assert np.allclose(thirds, thirds.round(), atol=0.02)
    assert set((thirds.round() / 8).ravel()) == {0, 1, 2, 3}


def test_resumed_with_another_number_of_processes(alone, tmp_path, monkeypatch):
    run = tmp_path / "run"
    processes = start(settings(processes=2, checkpoint_every_steps=3), run)
    _kill_after_checkpoint(run, processes, rank=0)
    resumed = settings(checkpoint_every_steps=3)
    assert read(run / "checkpoints" / "last.ckpt")["step"] < 10
    train(resumed, run, progress=False)
    assert_as_one(run, alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_is_killed(rank, alone, tmp_path):
    run = tmp_path / "run"
    config = settings(processes=2, checkpoint_every_steps=3)
    _kill_after_checkpoint(run, start(config, run), rank)
    if rank:
        record = json.loads((run / "run.json").read_text())
        assert record["status"] == "failed"
        assert "Another process of this run has ended" in record["error"]
        assert "Train in this directory again to go on" in record["error"]
    trained(config, run)
    assert_as_one(run, alone)


@pytest.mark.parametrize("told", [(0,), (1,), (0, 1)])
def test_sigterm_ends_all_processes_with_a_checkpoint(told, tmp_path):
    run = tmp_path / "run"
    config = settings(processes=2, epochs=400, evaluate_every=400, checkpoint_every=400)
    processes = start(config, run)
    _wait_for(run / "metrics.csv")
    for rank in told:
        os.kill(processes[rank].pid, signal.SIGTERM)
    assert end(processes) == [128 + signal.SIGTERM] * 2
    last = read(run / "checkpoints" / "last.ckpt")
    assert 0 < last["step"] < 2000
    assert len(last["random"]) == 2
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"


def test_a_run_that_was_terminated_goes_on_as_if_nothing_had_happened(tmp_path):
    config = settings(processes=2, epochs=20, evaluate_every=20, checkpoint_every=20)
    run, processes = tmp_path / "run", start(config, tmp_path / "run")
    _wait_for(run / "metrics.csv")
    os.kill(processes[1].pid, signal.SIGTERM)
    assert end(processes) == [128 + signal.SIGTERM] * 2
    reference = trained(config, tmp_path / "reference")
    assert_as_one(trained(config, run), reference)


def test_sigterm_ends_a_process_that_waits_for_one_that_never_comes(tmp_path):
    waiting = start(settings(processes=2), tmp_path / "run", ranks=[0])
    _wait_for(tmp_path / "run" / "run.json")
    time.sleep(0.5)  # on the way to torch, where no Python runs
    os.kill(waiting[0].pid, signal.SIGTERM)
    began = time.monotonic()
    assert end(waiting) == [-signal.SIGTERM]
    assert time.monotonic() - began < 20
    assert RunRecord.read(tmp_path / "run").status == "interrupted"


def test_processes_that_are_started_again_find_each_other(tmp_path):
    """By the store of torchrun, which knows the addresses of those that were killed."""
    store = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    told = {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    config, run = settings(processes=2, checkpoint_every_steps=3), tmp_path / "run"
    first = start(config, run, TORCHELASTIC_RESTART_COUNT="0", **told)
    _kill_after_checkpoint(run, first, rank=1)
    again = {"TORCHELASTIC_RESTART_COUNT": "1", **told}
    second = start(config, run, ranks=[1], **again)
    time.sleep(2)  # it comes first, and would read the old address of the other
    assert end(second + start(config, run, ranks=[0], **again)) == [0, 0]
    reference = weights(trained(config, tmp_path / "reference"))
    assert all(torch.equal(weights(run)[name], weight) for name, weight in reference.items())


def _kill_after_checkpoint(run: Path, processes: list, rank: int) -> None:
    """Kill one process as soon as there is a checkpoint, and wait for the others to notice."""
    _wait_for(run / "checkpoints" / "last.ckpt")
    os.kill(processes[rank].pid, signal.SIGKILL)
    codes = end(processes)
    assert codes[rank] == -signal.SIGKILL
    assert all(codes)


def test_sharded_weights(tmp_path):
    changes = {"precision": "float32", "epochs": 1}
    reference = weights(trained(settings(**changes), tmp_path / "alone"))
    sharded = settings(processes=2, strategy="fsdp", **changes)
    found = weights(trained(sharded, tmp_path / "sharded"))
    for name, weight in reference.items():
        torch.testing.assert_close(found[name], weight)


def test_sharded_weights_with_gates_per_sample_are_those_of_replicas(tmp_path):
    changes = {"processes": 2, "precision": "float32", "epochs": 1, "depth__per": "sample"}
    replicas, shards = (
        weights(trained(settings(strategy=strategy, **changes), tmp_path / strategy))
        for strategy in ("ddp", "fsdp")
    )
    for name, weight in replicas.items():
        torch.testing.assert_close(shards[name], weight)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_sharded_weights_go_on_in_any_number_of_processes(optimizer, tmp_path):
    changes = {"precision": "float32", "optimizer": optimizer, "checkpoint_every_steps": 3}
    changes |= {"strategy": "fsdp", "learning_rate__initial": 0.01}
    reference = weights(trained(settings(**changes), tmp_path / "alone"))
    config = settings(processes=2, **changes)
    _kill_after_checkpoint(tmp_path / "run", start(config, tmp_path / "run"), rank=0)
    shutil.copytree(tmp_path / "run", tmp_path / "run-alone")
    assert read(tmp_path / "run" / "checkpoints" / "last.ckpt")["step"] < 10
    for run, processes in (("run", 2), ("run-alone", 1)):
        found = weights(trained(settings(processes=processes, **changes), tmp_path / run))
        for name, weight in reference.items():
            torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 0}, "processes must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"strategy": "dpd"}, "ddp"),
        ({"strategy": "fsdp"}, "precision must be float32 or bf16 under strategy fsdp"),
        ({"strategy": "fsdp", "ema_decay": 0.9}, "ema_decay must be null"),
    ],
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises(InvalidArgument, match=message):
        settings(**{"processes": 2} | changes)


def test_torchrun_must_have_started_as_many(monkeypatch):
    told = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Place.here() == Place(rank=1, world=4, nodes=2)
    assert not must_launch(4)
    with pytest.raises(InvalidArgument, match=r"processes must be 4, the number that torchrun"):
        must_launch(2)


def test_a_process_is_lost_when_it_has_ended_and_not_when_it_is_busy(tmp_path):
    assert not Ending().lost()  # alone there is nobody to lose
    with pytest.raises(ProcessLost, match=r"Process 0 of 2 was ended by SIGKILL"):
        launch(_look_after_each_other, 2, tmp_path)
    assert (tmp_path / "busy").read_text() == "False"
    assert (tmp_path / "ended").read_text() == "True"


def _look_after_each_other(directory: Path) -> None:
    """The second process asks twice: while the first is busy, and when it is gone."""
    torch.distributed.init_process_group("gloo")
    ending = Ending()
    ending.connect()
    if os.environ["RANK"] == "0":
        while not (directory / "busy").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of what has started both of them
    (directory / "busy").write_text(str(ending.lost()))
    deadline = time.monotonic() + PATIENCE
    while not ending.lost() and time.monotonic() < deadline:
        pass
    (directory / "ended").write_text(str(ending.lost()))
    os._exit(0)  # Python would wait for the connection to a process that is gone


def test_processes_are_started_here(alone, tmp_path):
    run = tmp_path / "run"
    train(settings(processes=2), run, progress=False)
    assert_as_one(run, alone)


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("diverge", "training loss must stay finite"),
        ("fail", r"failed \(.*division by zero.*\). Train in this directory again"),
        ("kill", r"Process 1 of 2 was ended by SIGKILL. Train in this directory again"),
    ],
)
def test_what_ends_a_process_that_is_started_here_is_said(ending, message):
    kind = TrainingDiverged if ending == "diverge" else ProcessLost
    with pytest.raises(kind, match=message):
        launch(_end_by, 2, ending)


def _end_by(ending: str) -> None:
    """End the second of two processes; the first would go on for long."""
    if os.environ["RANK"] == "0":
        time.sleep(PATIENCE)
    elif ending == "diverge":
        raise TrainingDiverged("The training loss must stay finite.")
    elif ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        1 / 0  # noqa: B018


@pytest.mark.parametrize("training", [True, False])
def test_sigterm_to_a_process_that_is_started_here_is_no_error(training):
    with pytest.raises(SystemExit, match="143"):
        launch(_leave, 2, training)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _leave(training: bool) -> None:
    """End as training does on SIGTERM, or as a process does that has not begun to train."""
    if training:
        raise SystemExit(128 + signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("recorded", ["running", "finished"])
def test_a_signal_to_those_started_here_is_on_the_record(recorded, tmp_path, monkeypatch):
    def launched(_, __, ___, run: Path, ____) -> None:
        run.mkdir()
        (run / "run.json").write_text(json.dumps({"status": recorded}))
        raise SystemExit(128 + signal.SIGTERM)

    monkeypatch.setattr(_train, "launch", launched)
    with pytest.raises(SystemExit, match="143"):
        train(settings(processes=2), tmp_path / "run", progress=False)
    status = json.loads((tmp_path / "run" / "run.json").read_text())["status"]
    assert status == {"running": "interrupted", "finished": "finished"}[recorded]
