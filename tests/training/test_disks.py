"""Disks in trouble in the middle of a run: real ones, where this machine lets them be mounted."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from stochastic_depth import CheckpointError
from stochastic_depth.training import _checkpoint, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._depth_record import DepthRecord
from stochastic_depth.training.run_record import RunRecord


def system(*command: object) -> str:
    """Run a program that only root may, or skip the test."""
    try:
        ended = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a disk cannot be mounted here: {error}")
    return ended.stdout


@contextmanager
def mounted(place: Path, *options: object) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    system("mount", *options, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


def after_checkpoint(monkeypatch, number: int, happens: Callable[[], object]) -> None:
    """Let something happen after the checkpoint of that number."""
    write, saved = _checkpoint.write, []

    def write_and_happen(state, path):
        write(state, path)
        saved.append(path.name == "last.ckpt")
        if sum(saved) == number and saved[-1]:
            happens()

    monkeypatch.setattr(_checkpoint, "write", write_and_happen)


def assert_same_end(run: Path, reference: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        found, expected = (read(top / "checkpoints" / name)["model"] for top in (run, reference))
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    for name in ("gates.npy", "evaluations.csv"):
        assert (run / name).read_bytes() == (reference / name).read_bytes()


@pytest.fixture
def settings(config):
    """Checkpoints at steps 3, 4, 6, 8, ..., the third of them within an epoch."""
    return config(epochs=3, checkpoint_every_steps=3, evaluate_every_steps=3)


@pytest.fixture
def reference(settings, tmp_path) -> Path:
    train(settings, tmp_path / "reference", progress=False)
    return tmp_path / "reference"


def test_a_disk_that_turns_read_only_keeps_the_last_checkpoint(
    settings, reference, tmp_path, monkeypatch
):
    """Ext4 as it is after an error: nothing can be written, not even to files that are open."""
    image, disk = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    system("mkfs.ext4", "-q", image)
    run, how = disk / "run", ("-o", "loop,errors=remount-ro", image)
    with mounted(disk, *how):
        device = Path(system("findmnt", "-no", "SOURCE", disk).strip()).name
        fail = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
        with monkeypatch.context() as patch:
            after_checkpoint(patch, 3, lambda: fail.write_text("1"))
            message = rf"{run}/\S+ cannot be written \(Read-only file system\).*train in this dir"
            with pytest.raises(CheckpointError, match=message) as caught:
                train(settings, run, progress=False)
        assert "run.json" in caught.value.__notes__[0]
        assert RunRecord.read(run).status == "running"  # who reads cannot look at the lock
        assert read(run / "checkpoints" / "last.ckpt")["step"] == 6
    subprocess.run(["e2fsck", "-fy", image], capture_output=True)  # noqa: S607
    with mounted(disk, *how):
        assert read(run / "checkpoints" / "last.ckpt")["step"] == 6
        train(settings, run, progress=False)
        assert_same_end(run, reference)


def test_gates_that_cannot_be_written_are_named(settings, tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(DepthRecord, "write", refused)
    with pytest.raises(CheckpointError, match=r"gates\.npy cannot be written \(Read-only file"):
        train(settings, tmp_path / "run", progress=False)


def test_a_full_disk_keeps_the_last_checkpoint(settings, reference, tmp_path, monkeypatch):
    def fill() -> None:
        with (disk / "ballast").open("wb") as file:
            free = shutil.disk_usage(disk).free
            file.write(bytes(free - 16384))

    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "none") as disk:
        run = disk / "run"
        with monkeypatch.context() as patch:
            after_checkpoint(patch, 3, fill)
            message = rf"{run}/\S+ cannot be written \((No space left on device|0\.\d MB are free)"
            with pytest.raises(CheckpointError, match=message):
                train(settings, run, progress=False)
        assert RunRecord.read(run).status == "failed"
        assert read(run / "checkpoints" / "last.ckpt")["step"] == 6
        (disk / "ballast").unlink()
        train(settings, run, progress=False)
        assert_same_end(run, reference)


def test_a_disk_without_hard_links(settings, reference, tmp_path, monkeypatch):
    """As exFAT, SMB and many FUSE mounts are; here the system call alone is refused."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    run = tmp_path / "run"
    after_checkpoint(monkeypatch, 3, lambda: shutil.copytree(run, tmp_path / "copy"))
    train(settings, run, progress=False)
    assert read(tmp_path / "copy" / "checkpoints" / "previous.ckpt")["step"] == 4
    assert read(run / "checkpoints" / "previous.ckpt")["step"] < 12
    assert_same_end(run, reference)
    train(settings, tmp_path / "copy", progress=False)
    assert_same_end(tmp_path / "copy", reference)
