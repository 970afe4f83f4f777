"""One run in several processes: as if it were one, however it is divided and whatever ends."""

import csv
import json
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import stochastic_depth as sd
from stochastic_depth import InvalidArgument, ProcessLost
from stochastic_depth.training import RunConfig, load, train
from stochastic_depth.training._checkpoint_io import read
from stochastic_depth.training._processes import Place, lost, must_launch

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["stochastic_depth.training._train"])
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


def start(config: RunConfig, run: Path) -> list:
    """Start the processes of a run as torchrun does: by what it tells them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    world = str(config.processes)
    told = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "test"}
    told |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(config.processes)]
    processes = [FORKSERVER.Process(target=_run, args=(config, run, told | own)) for own in ranks]
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


def trained(config: RunConfig, run: Path) -> Path:
    if config.processes == 1:
        train(config, run, progress=False)
    else:
        assert end(start(config, run)) == [0] * config.processes
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read(run / "checkpoints" / "last.ckpt")["state_dict"]


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


def test_gates_of_skipped_blocks_are_not_sent(tmp_path):
    sent, ran = {}, {}
    for name, changes in {
        "constant": {"depth__enabled": False},
        "shared": {},
        "independent": {"depth__ranks": "independent"},
    }.items():
        run = trained(settings(processes=2, epochs=4, **changes), tmp_path / name)
        record = json.loads((run / "run.json").read_text())
        sent[name], ran[name] = record["summary"]["bytes_sent"], record["summary"]["realised_depth"]
    parameters = list(WithoutBatchStatistics(10).net.parameters())
    everything = sum(weight.numel() for weight in parameters)
    blocks = sum(w.numel() for w in WithoutBatchStatistics(10).net.blocks.parameters())
    steps = 20
    assert sent["constant"] == 8 * steps * everything
    expected = everything - blocks + blocks * ran["shared"] / 8
    assert sent["shared"] == pytest.approx(8 * steps * expected, rel=1e-3)
    assert sent["shared"] < sent["independent"] < sent["constant"]


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
    assert read(run / "checkpoints" / "last.ckpt")["global_step"] < 10
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


def _kill_after_checkpoint(run: Path, processes: list, rank: int) -> None:
    """Kill one process as soon as there is a checkpoint, and wait for the others to notice."""
    deadline = time.monotonic() + PATIENCE
    while not (run / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 0}, "processes must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"strategy": "dpd"}, "ddp"),
        ({"strategy": "fsdp", "depth__ranks": "independent"}, r"depth.ranks must be 'shared'"),
        ({"strategy": "fsdp", "depth__per": "sample"}, r"depth.ranks must be 'shared'"),
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


def test_only_errors_of_the_network_mean_that_a_process_is_lost():
    gloo = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:9\nmore")
    assert isinstance(lost(gloo), ProcessLost)
    assert str(lost(gloo)).count("\n") == 0
    assert lost(RuntimeError("shapes do not match")) is None
    assert lost(ValueError("gloo")) is None


@pytest.mark.slow
def test_processes_are_started_here(alone, tmp_path):
    run = tmp_path / "run"
    train(settings(processes=2), run, progress=False)
    assert_as_one(run, alone)
