"""The directory of one run: one configuration, one process at a time."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from .._errors import RunDirectoryInUse
from .._files import leftovers, write_text
from .._mappings import read_json, read_yaml
from ._run_config import RunConfig

LOCK = ".lock"
GLANCE = 1.0  # seconds: readers hold the lock for a moment, to see whether anybody does


@contextmanager
def locked(folder: Path, busy: Callable[[], str]) -> Iterator[None]:
    """Hold a folder against other processes.

    Raises:
        RunDirectoryInUse: another process holds it; `busy` says what it does there.
    """
    # The system releases this lock with the process, however it ends.
    lock = FileLock(folder / LOCK, timeout=GLANCE)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunDirectoryInUse(busy()) from error
    try:
        yield
    finally:
        lock.release()


def abandoned(folder: Path) -> bool:
    """Return whether a process has held a folder, and none does any more."""
    if not (folder / LOCK).exists():
        return False  # a copy, of which nothing is known
    try:
        with FileLock(folder / LOCK, timeout=0):
            return True
    except (Timeout, OSError):  # OSError: not ours to look at
        return False


class RunDirectory:
    """Files of a run, each written whole or not at all.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.gates = self.path / "gates.npy"
        self.metrics = self.path / "metrics.csv"

    def holds(self, config: RunConfig) -> bool:
        """Return whether a run of `config` was begun here; if not, one may be.

        Raises:
            RunDirectoryInUse: the directory holds another configuration or other files.
        """
        if not self.path.exists():
            return False
        if not self.path.is_dir():
            raise RunDirectoryInUse(f"{self.path} is a file. Pass a directory for the run.")
        if (self.path / "config.yaml").exists():
            self._check_same(config)
            return True
        unfinished = set(leftovers(self.path))
        if any(path.name != LOCK and path not in unfinished for path in self.path.iterdir()):
            raise RunDirectoryInUse(
                f"{self.path} must be empty or hold a run; it holds other files. "
                "Pass another directory."
            )
        return False

    @contextmanager
    def claim(self, config: RunConfig) -> Iterator[None]:
        """Hold the directory for a run of `config`, which it may already have begun.

        Raises:
            RunDirectoryInUse: as `holds`, or another process trains here.
        """
        self.holds(config)  # before anything is written
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, self._busy):
            for path in leftovers(self.path):
                path.unlink()
            if not self.holds(config):
                text = yaml.safe_dump(config.to_mapping(), sort_keys=False)
                write_text(self.path / "config.yaml", text)
            yield

    def read_run(self) -> dict[str, Any]:
        """Return what `run.json` says; nothing before there is one."""
        path = self.path / "run.json"
        return read_json(path) if path.exists() else {}

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        write_text(self.path / "run.json", json.dumps(run, indent=2) + "\n")

    def _check_same(self, config: RunConfig) -> None:
        present = read_yaml(self.path / "config.yaml")
        # As many processes as there are now: they share out the same batches.
        wanted = config.to_mapping() | {"processes": present.get("processes")}
        if isinstance(present.get("data"), Mapping):  # nor do those that read change anything
            wanted["data"] = wanted["data"] | {"workers": present["data"].get("workers")}
        differences = list(_differences(present, wanted))
        if differences:
            raise RunDirectoryInUse(
                f"{self.path} holds a run of another configuration: {'; '.join(differences)}. "
                "Pass another directory, or the same configuration to go on with that run."
            )

    def _busy(self) -> str:
        pid = self.read_run().get("pid", "unknown")
        return (
            f"{self.path} is in use: process {pid} is training there. "
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
