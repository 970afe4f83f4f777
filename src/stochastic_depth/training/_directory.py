"""The directory of one run: one configuration, one process at a time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from .._errors import RunDirectoryInUse
from ._config import RunConfig
from ._files import write_text

LOCK = ".lock"


class RunDirectory:
    """Files of a run, each written whole or not at all.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"

    @contextmanager
    def claim(self, config: RunConfig) -> Iterator[None]:
        """Hold the directory for a run of `config`, which it may already have begun.

        Raises:
            RunDirectoryInUse: the directory holds another configuration, other files, or a
                run that another process is training.
        """
        self._check_ours()
        self.path.mkdir(parents=True, exist_ok=True)
        # The system releases this lock with the process, however it ends.
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunDirectoryInUse(self._busy()) from error
        try:
            self._check_config(config.to_mapping())
            yield
        finally:
            lock.release()

    def read_run(self) -> dict[str, Any]:
        """Return what `run.json` says, nothing before it is there."""
        path = self.path / "run.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        write_text(self.path / "run.json", json.dumps(run, indent=2) + "\n")

    def _check_ours(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunDirectoryInUse(f"{self.path} is a file. Pass a directory for the run.")
        begun = (self.path / "config.yaml").exists() or (self.path / LOCK).exists()
        if not begun and any(self.path.iterdir()):
            raise RunDirectoryInUse(
                f"{self.path} must be empty or hold a run; it holds other files. "
                "Pass another directory."
            )

    def _check_config(self, wanted: Mapping[str, Any]) -> None:
        path = self.path / "config.yaml"
        if not path.exists():
            write_text(path, yaml.safe_dump(dict(wanted), sort_keys=False))
            return
        present = yaml.safe_load(path.read_text())
        if present != wanted:
            fields = "; ".join(_differences(present, wanted))
            raise RunDirectoryInUse(
                f"{self.path} holds a run of another configuration: {fields}. "
                "Pass another directory, or the same configuration to resume it."
            )

    def _busy(self) -> str:
        pid = self.read_run().get("pid", "unknown")
        return (
            f"{self.path} is being trained in by another process (pid {pid}). "
            "Wait for it, or pass another directory."
        )


def _differences(present: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Yield one phrase per field in which two configurations differ."""
    if isinstance(present, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*present, *wanted]):
            dotted = f"{name}.{key}" if name else str(key)
            yield from _differences(present.get(key), wanted.get(key), dotted)
    elif present != wanted:
        yield f"{name} is {present!r} there and {wanted!r} here"
