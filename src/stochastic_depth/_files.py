"""Files that are there whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PARTIAL = ".partial"

UNASKED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES}
"""What a file system says that does not synchronise; a disk in trouble says EIO or ENOSPC."""


@contextmanager
def atomic_write(path: Path, *, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` once it is written and on the disk.

    A process killed at any moment leaves the old file or the new one, never a part.

    Args:
        path: the file.
        keep: another name, in the same directory, under which the old file stays.

    Yields:
        A file open for writing.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "Its directory is not there (any more)", str(path))
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            _sync(file.fileno())
    except BaseException:
        with suppress(OSError):  # a read-only disk keeps it, and what went wrong first is said
            temporary.unlink(missing_ok=True)  # on a full disk, what is left of it is room
        raise
    if keep is not None and path.exists():
        # The old file gets its second name first: `path` exists at every moment.
        _second_name(path, path.with_name(f".{keep.name}{PARTIAL}")).replace(keep)
    temporary.replace(path)
    _sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def user_cache(instead: str | None = None) -> Path:
    """Return the folder for what can be made again, the user's unless another is named.

    It may not exist.
    """
    if instead:
        return Path(instead).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "stochastic_depth"


def leftovers(directory: Path) -> Iterator[Path]:
    """Yield what killed processes left of files that they were writing, at any depth."""
    yield from directory.rglob(f".*{PARTIAL}")


def _second_name(path: Path, name: Path) -> Path:
    """Give a file a second name; a copy where the file system knows no links (exFAT, SMB)."""
    name.unlink(missing_ok=True)
    try:
        name.hardlink_to(path)
    except (OSError, NotImplementedError):
        try:
            with path.open("rb") as old, name.open("wb") as copy:
                shutil.copyfileobj(old, copy)
                copy.flush()
                _sync(copy.fileno())
        except BaseException:
            name.unlink(missing_ok=True)
            raise
    return name


def _sync_directory(directory: Path) -> None:
    """Put the new names of a directory on the disk, where its file system can be asked to."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # Windows opens no directories
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Wait for the disk; file systems that cannot be asked to are believed."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNASKED:
            raise
