import errno
import logging

import pytest
import torch

from stochastic_depth import CheckpointError
from stochastic_depth.training._checkpoint import newest, read, write

STATE = {"weights": torch.arange(300.0), "rows": [{"loss": 0.5, "name": "a"}], "step": 7}


@pytest.fixture
def checkpoints(tmp_path):
    """Two checkpoints in a row, of steps 1 and 2."""
    for step in (1, 2):
        write(STATE | {"step": step}, tmp_path / "last.ckpt")
    return tmp_path


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "new" / "best.ckpt"
    write(STATE, path)
    state = read(path)
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {"rows": STATE["rows"], "step": 7}


def test_the_one_before_is_kept(checkpoints):
    assert read(checkpoints / "last.ckpt")["step"] == 2
    assert read(checkpoints / "previous.ckpt")["step"] == 1


def test_a_full_disk_leaves_the_one_before_and_says_so(checkpoints, monkeypatch):
    def full(checkpoint, file):
        file.write(b"a part of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match=r"cannot be written .*No space left on device\)"):
        write(STATE, checkpoints / "last.ckpt")
    assert read(checkpoints / "last.ckpt")["step"] == 2
    assert sorted(path.name for path in checkpoints.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_no_alteration_goes_unnoticed(tmp_path):
    """Bits of every 37th byte are flipped, one byte at a time."""
    path = tmp_path / "last.ckpt"
    write(STATE, path)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 37):
        altered = bytearray(whole)
        altered[place] ^= 0b1001
        path.write_bytes(altered)
        try:
            state = read(path)
        except CheckpointError:
            refused += 1
        else:  # padding, time stamps and the like
            assert torch.equal(state["weights"], STATE["weights"])
            assert (state["rows"], state["step"]) == (STATE["rows"], 7)
    assert refused > 0.5 * len(whole) / 37


@pytest.mark.parametrize("size", [0, 1, 100, 2000, -1])
def test_truncation(size, tmp_path):
    path = tmp_path / "last.ckpt"
    write(STATE, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"last.ckpt is damaged \("):
        read(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (pytest.fail, ("ran",))

    torch.save({"a": Attack()}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="is damaged"):
        read(tmp_path / "last.ckpt")


def test_the_newest_is_the_last(checkpoints):
    assert newest(checkpoints) == checkpoints / "last.ckpt"


def test_without_checkpoints_there_is_none(tmp_path):
    assert newest(tmp_path / "missing") is None


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", None])
def test_the_one_before_is_taken_for_a_damaged_one_and_it_is_said(damage, checkpoints, caplog):
    last = checkpoints / "last.ckpt"
    if damage is None:
        middle = last.read_bytes().replace(
            torch.arange(300.0).numpy().tobytes()[400:440], b"x" * 40
        )
        last.write_bytes(middle)
    else:
        last.write_bytes(damage(last.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert newest(checkpoints) == checkpoints / "previous.ckpt"
    assert "last.ckpt is damaged" in caplog.text
    assert "previous.ckpt, the one before it" in caplog.text


def test_nothing_left_to_resume_from(checkpoints):
    for name in ("last.ckpt", "previous.ckpt"):
        (checkpoints / name).write_bytes(b"nonsense")
    with pytest.raises(
        CheckpointError, match=r"last.ckpt is .*previous.ckpt is .*another directory"
    ):
        newest(checkpoints)
