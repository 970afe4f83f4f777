"""Checkpoint files that survive a kill, and the choice of the one to resume from."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import CheckpointIO

from .._errors import CheckpointError
from .._files import atomic_write

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
log = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Write checkpoints whole or not at all, and read none that is damaged.

    The checkpoint that `last.ckpt` replaces stays as `previous.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            CheckpointError: it cannot be written; the one before it stays.
        """
        path = Path(path)
        keep = path.with_name(PREVIOUS) if path.name == LAST else None
        try:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path, keep=keep) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # RuntimeError is what torch makes of the former
            reason = str(error).partition("\n")[0].rstrip(".")
            raise CheckpointError(
                f"{path} cannot be written ({reason}). The checkpoint before it stays: see to "
                "the disk, and train in this directory again to go on from there."
            ) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read the checkpoint at `path`, see `read`."""
        return read(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the file at `path`."""
        Path(path).unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values, no code, every part against its checksum.

    Raises:
        CheckpointError: the file is missing, truncated or altered.
    """
    try:
        # torch.save writes a zip archive with checksums, which torch.load does not look at.
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
        if altered is not None:
            raise CheckpointError(f"{path} is damaged: {altered} does not match its checksum.")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes fail in the archive, the pickle or the tensors
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged ({reason}).") from error


def newest(directory: Path) -> Path | None:
    """Return the newest checkpoint that can be read, None where there is none at all.

    Says so where the last one is damaged and the one before is taken.

    Raises:
        CheckpointError: there are checkpoints, and none of them can be read.
    """
    problems: list[str] = []
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            read(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            log.warning("%s Resuming from %s, the one before it.", problems[0], path)
        return path
    if problems:
        raise CheckpointError(f"{' '.join(problems)} Train in another directory.")
    return None
