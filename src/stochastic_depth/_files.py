"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL = ".partial"


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
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)  # on a full disk, what is left of it is room
        raise
    if keep is not None and path.exists():
        # The old file gets its second name first: `path` exists at every moment.
        link = path.with_name(f".{keep.name}{PARTIAL}")
        link.unlink(missing_ok=True)
        link.hardlink_to(path)
        link.replace(keep)
    temporary.replace(path)
    _sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())


def leftovers(directory: Path) -> Iterator[Path]:
    """Yield what killed processes left of files that they were writing, at any depth."""
    yield from directory.rglob(f".*{PARTIAL}")


def _sync_directory(directory: Path) -> None:
    """Put the new names of a directory on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
