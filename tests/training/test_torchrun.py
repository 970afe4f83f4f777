"""The program under torchrun, as a user starts it: one process is killed, and the run goes on."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stochastic_depth.training._checkpoint import read
from stochastic_depth.training.run_record import RunRecord

PATIENCE = 900
TRAIN = shlex.split(
    "train demo_digits --data.limit 100 --data.validation 40 --data.test_limit 60 "
    "--model.init_args.depth 14 --model.init_args.width 4 --epochs 40 --evaluate_every 40 "
    "--checkpoint_every_steps 3 --threads 1 --accelerator cpu --processes 2 --progress false"
)
TORCHRUN = shlex.split("-m torch.distributed.run --standalone --nproc-per-node 2 --max-restarts 2")


def start(launcher: list[str], run: Path) -> subprocess.Popen:
    command = [sys.executable, *launcher, "-m", "stochastic_depth", *TRAIN, "--out", str(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_checkpoint(run: Path, process: subprocess.Popen) -> None:
    """Wait for the second one."""
    while not (run / "checkpoints" / "previous.ckpt").exists() and process.poll() is None:
        time.sleep(0.01)


def workers(parent: int) -> dict[str, int]:
    """Return the processes that torchrun has started, by rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    told = {pid: Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in children}
    return {
        name.partition("=")[2]: int(pid)
        for pid, names in told.items()
        for name in names
        if name.startswith("RANK=")
    }


def state(run: Path) -> tuple[int, dict[str, torch.Tensor], bytes]:
    last = read(run / "checkpoints" / "last.ckpt")
    return last["step"], last["model"], (run / "gates.npy").read_bytes()


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("unbroken") / "run"
    said, _ = (process := start([], run)).communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return run


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.timeout(4 * PATIENCE)
@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_killed_process_is_started_again_and_the_run_goes_on(rank, reference, tmp_path):
    run = tmp_path / "run"
    process = start(TORCHRUN, run)
    wait_for_checkpoint(run, process)
    os.kill(workers(process.pid)[rank], signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "exitcode: -9" in said
    (step, found, gates), (steps, expected, drawn) = state(run), state(reference)
    assert step == steps == 160
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert gates == drawn
    assert RunRecord.read(run).status == "finished"


@pytest.mark.slow
@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize("launcher", [[], TORCHRUN], ids=["processes", "torchrun"])
def test_sigterm_to_what_has_started_the_processes(launcher, tmp_path):
    run = tmp_path / "run"
    process = start(launcher, run)
    wait_for_checkpoint(run, process)
    before = read(run / "checkpoints" / "last.ckpt")["step"]
    began = time.monotonic()
    process.terminate()
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0, said
    assert time.monotonic() - began < 30
    assert RunRecord.read(run).status == "interrupted"
    assert before <= read(run / "checkpoints" / "last.ckpt")["step"] < 160
