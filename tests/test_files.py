import errno
import os
from pathlib import Path

import pytest

from stochastic_depth._files import atomic_write, leftovers, write_text


def test_the_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("one", "three"):
        write_text(path, text)
        assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_breaks_off_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        interrupted()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_leaves_is_found(tmp_path):
    half = tmp_path / "checkpoints" / ".last.ckpt.partial"
    half.parent.mkdir()
    half.touch()
    write_text(tmp_path / "a.partial", "somebody else's")
    assert list(leftovers(tmp_path)) == [half]


def test_the_old_file_stays_under_another_name(tmp_path):
    path, before = tmp_path / "last", tmp_path / "previous"
    for text in ("one", "two", "three"):
        with atomic_write(path, keep=before) as file:
            file.write(text.encode())
    assert (path.read_text(), before.read_text()) == ("three", "two")


def test_there_is_no_moment_without_a_whole_file(tmp_path, monkeypatch):
    """Between any two operations on names, `last` is there and whole."""
    path, seen = tmp_path / "last", []
    write_text(path, "old")
    kind = type(path)
    replace = kind.replace

    def watched(self, target):
        seen.append(path.read_text())
        result = replace(self, target)
        seen.append(path.read_text())
        return result

    monkeypatch.setattr(kind, "replace", watched)
    with atomic_write(path, keep=tmp_path / "previous") as file:
        file.write(b"new")
    assert seen == ["old", "old", "old", "new"]


def refused(number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS])
def test_without_hard_links_the_old_file_is_copied(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refused(number))
    path, before = tmp_path / "last", tmp_path / "previous"
    for text in ("one", "two", "three"):
        with atomic_write(path, keep=before) as file:
            file.write(text.encode())
    assert (path.read_text(), before.read_text()) == ("three", "two")
    assert {entry.name for entry in tmp_path.iterdir()} == {"last", "previous"}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM])
def test_a_file_system_that_does_not_synchronise(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refused(number))
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_disk_in_trouble_is_told(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", refused(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        write_text(tmp_path / "a.txt", "text")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_has_gone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not there \(any more\): '.*gone/a\.txt'"):
        write_text(tmp_path / "gone" / "a.txt", "text")


def test_what_cannot_be_removed_does_not_hide_what_went_wrong(tmp_path, monkeypatch):
    """A disk that has become read-only in the middle keeps the part that was written."""
    monkeypatch.setattr(os, "fsync", refused(errno.EIO))
    monkeypatch.setattr(Path, "unlink", refused(errno.EROFS))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_text(tmp_path / "a.txt", "text")
