"""Kill training again and again, in every way it can be stopped, and compare how it ends.

    unshare --map-root-user --mount python benchmarks/faults.py --kills 100

A small network trains on digits in a directory on a small disk of its own. At random
moments one of seven things happens to it; then it is resumed. Every time, all files that
stand in the directory must be whole, and the log a beginning of that of a run that nothing
happened to; in the end weights, log and gates must be those of that run, to the bit.
Full and read-only disks are real ones, which needs the right to mount.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from stochastic_depth import StochasticDepthError
from stochastic_depth._files import leftovers
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training import RunConfig, load, override, train
from stochastic_depth.training._checkpoint import read

FORKSERVER = multiprocessing.get_context("forkserver")
DISK = "16m"
SETTINGS = {
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "data.limit": 100,
    "data.validation": 40,
    "data.test_limit": 60,
    "data.shift": 1,
    "epochs": 60,
    "evaluate_every": 2,
    "evaluate_every_steps": 7,
    "checkpoint_every": 1,
    "checkpoint_every_steps": 3,
    "threads": 1,
    "loggers": [],
}


class Run:
    """A run on a disk of its own, and what has happened to it."""

    def __init__(self, config: RunConfig, disk: Path) -> None:
        self.config = config
        self.disk = disk
        self.path = disk / "run"
        self.process: Any = None
        self.spoilt = b""  # what was made of the newest checkpoint

    def start(self) -> None:
        """Train, or go on training, in a process of its own."""
        arguments = {"target": train, "args": (self.config, self.path)}
        self.process = FORKSERVER.Process(**arguments, kwargs={"progress": False})
        self.process.start()

    def end(self, patience: float = 60.0) -> int:
        """Wait for the process to end by itself; kill it if it does not."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise RuntimeError("the process did not end by itself")
        return self.process.exitcode


def sigkill(run: Run, chance: random.Random) -> None:
    """What the kernel does to a process when memory runs out."""
    run.process.kill()
    run.end()


def sigterm(run: Run, chance: random.Random) -> None:
    """What a scheduler sends before the time is up."""
    run.process.terminate()
    run.end()


def full_disk(run: Run, chance: random.Random) -> None:
    """Leave room for less than a checkpoint, or for none at all."""
    ballast = run.disk / "ballast"
    room = chance.choice([0, chance.randrange(200_000)])
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        file.truncate(max(0, file.tell() - room))
    run.end()
    ballast.unlink()


def read_only(run: Run, chance: random.Random) -> None:
    """Take the right to write away, as a file system does on which an error was found."""
    while _mount("-o", "remount,ro", run.disk) and run.process.is_alive():
        time.sleep(0.001)  # busy: a file is open for writing just now
    run.end()
    _mount("-o", "remount,rw", run.disk)


def corrupted_checkpoint(run: Run, chance: random.Random) -> None:
    """Kill, and spoil the newest checkpoint: cut it off, or change one byte of it."""
    sigkill(run, chance)
    last, previous = (run.path / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    record = run.path / "run.json"
    finished = record.exists() and json.loads(record.read_text())["status"] == "finished"
    if finished or not (last.exists() and previous.exists()):
        return
    raw = bytearray(last.read_bytes())
    place = chance.randrange(len(raw))
    if chance.random() < 0.5:
        del raw[place:]
    else:
        raw[place] ^= 0xFF
    last.unlink()  # it may share its bytes with previous.ckpt
    last.write_bytes(raw)
    run.spoilt = bytes(raw)


def changed_configuration(run: Run, chance: random.Random) -> None:
    """Kill, and resume with another network, which must be refused."""
    sigkill(run, chance)
    if (run.path / "config.yaml").exists():
        _refused(override(run.config, {"model.init_args.width": 8}), run.path, "width")


def second_run(run: Run, chance: random.Random) -> None:
    """Start the same run a second time in the same directory, which must be refused; kill."""
    record = run.path / "run.json"
    if record.exists() and json.loads(record.read_text())["pid"] == run.process.pid:
        os.kill(run.process.pid, signal.SIGSTOP)  # it would soon be done
        _refused(run.config, run.path, "in use")
    sigkill(run, chance)


FAULTS: dict[str, Callable[[Run, random.Random], None]] = {
    "SIGKILL": sigkill,
    "SIGTERM": sigterm,
    "full disk": full_disk,
    "read-only disk": read_only,
    "corrupted newest checkpoint": corrupted_checkpoint,
    "changed configuration": changed_configuration,
    "two runs in one directory": second_run,
}


def _refused(config: RunConfig, path: Path, words: str) -> None:
    said = "nothing"
    try:
        train(config, path, progress=False)
    except StochasticDepthError as error:
        said = str(error)
    assert words in said, f"not refused for {words!r}: {said}"


def _mount(*arguments: Any) -> int:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode  # noqa: S607


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a disk of its own at `path`."""
    path.mkdir()
    if _mount("-t", "tmpfs", "-o", f"size={DISK}", "none", path):
        raise SystemExit("mounting a disk is not allowed; see the top of this file")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # noqa: S607


def log_of(path: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a log without the seconds, which are never the same twice."""
    if not (path / name).exists():
        return []
    rows = csv.DictReader((path / name).read_text().splitlines(), strict=True)
    return [{key: row[key] for key in row if key != "seconds"} for row in rows]


def half_written(run: Run) -> list[str]:
    """Return the files that stand there and cannot be read as what they are."""
    readers: dict[str, Callable[[Path], Any]] = {
        "run.json": lambda path: json.loads(path.read_text()),
        "config.yaml": lambda path: yaml.safe_load(path.read_text()).items(),
        "gates.npy": np.load,
        "checkpoints/last.ckpt": read,
        "checkpoints/previous.ckpt": read,
        "checkpoints/best.ckpt": read,
    }
    broken = []
    for name, reader in readers.items():
        path = run.path / name
        if not path.exists() or path.read_bytes() == run.spoilt:
            continue
        try:
            reader(path)
        except Exception as error:
            broken.append(f"{name}: {error}")
    return broken


def astray(run: Run, reference: Path) -> list[str]:
    """Return the logs that are no beginning of those of the reference."""
    wrong = []
    for name in ("metrics.csv", "evaluations.csv"):
        rows = log_of(run.path, name)
        if rows != log_of(reference, name)[: len(rows)]:
            wrong.append(name)
    if (run.path / "gates.npy").exists():
        gates = np.load(run.path / "gates.npy")
        if not np.array_equal(gates, np.load(reference / "gates.npy")[: len(gates)]):
            wrong.append("gates.npy")
    return wrong


def newest_step(run: Run) -> int:
    """Return the step of the newest checkpoint that is whole, 0 if there is none."""
    paths = (run.path / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    whole = [path for path in paths if path.exists() and path.read_bytes() != run.spoilt]
    return max((read(path)["step"] for path in whole), default=0)


def differences(path: Path, reference: Path) -> list[str]:
    """Return in what a finished run differs from the reference."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (read(top / "checkpoints" / name) for top in (path, reference))
        pairs = ((key, one["model"][key], other["model"][key]) for key in one["model"])
        found += [f"{name}: {key}" for key, a, b in pairs if not torch.equal(a, b)]
    found += [
        n for n in ("metrics.csv", "evaluations.csv") if log_of(path, n) != log_of(reference, n)
    ]
    if (path / "gates.npy").read_bytes() != (reference / "gates.npy").read_bytes():
        found.append("gates.npy")
    summaries = [json.loads((top / "run.json").read_text())["summary"] for top in (path, reference)]
    if summaries[0] | {"seconds": 0} != summaries[1] | {"seconds": 0}:
        found.append("summary")
    return found + [f"left over: {file.name}" for file in leftovers(path)]


def stopped(events: list[dict[str, Any]]) -> int:
    """Return how many faults ended the process; some come when it is about to end anyway."""
    return sum(event["exit"] != 0 for event in events)


def torment(run: Run, reference: Path, chance: random.Random, length: float, kills: int) -> list:
    """Let faults happen to a run until it ends, `kills` of them at most; return them."""
    events: list[dict[str, Any]] = []
    order: list[str] = []
    while True:
        run.start()
        if stopped(events) == kills:
            assert run.end(600) == 0, "an undisturbed resumption failed"
            return events
        run.process.join(moment := chance.uniform(0, length))
        if not run.process.is_alive():
            assert run.process.exitcode == 0, "it failed by itself"
            return events
        order = order or chance.sample(list(FAULTS), len(FAULTS))
        fault = order.pop()
        FAULTS[fault](run, chance)
        state = {"half_written": half_written(run), "astray": astray(run, reference)}
        state |= {"exit": run.process.exitcode, "step": newest_step(run)}
        events.append({"fault": fault, "after_seconds": round(moment, 3), **state})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.json"))
    arguments = options.parse_args()
    FORKSERVER.set_forkserver_preload(["stochastic_depth.training._train"])
    config = load("demo_digits", SETTINGS)
    began, runs = time.monotonic(), []
    with tempfile.TemporaryDirectory() as directory:
        reference = Run(config, Path(directory) / "reference")
        first = Run(override(config, {"epochs": 1}), Path(directory) / "first")
        first.start()  # the server imports torch
        first.end()
        started = time.monotonic()
        reference.start()
        assert reference.end(600) == 0
        length = time.monotonic() - started
        while (left := arguments.kills - sum(stopped(run["events"]) for run in runs)) > 0:
            seed = arguments.seed + len(runs)
            chance = random.Random(seed)  # noqa: S311
            with small_disk(Path(directory) / f"disk-{seed}") as disk:
                run = Run(config, disk)
                events = torment(run, reference.path, chance, length / 6, left)
                different = differences(run.path, reference.path)
                lines = [len(log_of(top, "metrics.csv")) for top in (reference.path, run.path)]
            lost = {"log_lines_lost": lines[0] - lines[1], "differences": different}
            runs.append({"seed": seed, "events": events, **lost})
            print(f"seed {seed}: {len(events)} faults, {different or 'no difference'}", flush=True)
    events = [event for run in runs for event in run["events"]]
    record = {
        "faults": len(events),
        "kills": stopped(events),
        "resumptions": len(events),
        "runs": len(runs),
        "runs_that_differ": sum(bool(run["differences"]) for run in runs),
        "log_lines_lost": sum(run["log_lines_lost"] for run in runs),
        "half_written_files": sum(len(event["half_written"]) for event in events),
        "logs_astray": sum(len(event["astray"]) for event in events),
        "by_fault": dict(Counter(event["fault"] for event in events)),
        "seeds": [run["seed"] for run in runs],
        "seconds": round(time.monotonic() - began, 1),
        "settings": SETTINGS,
        "each": runs,
        "hardware": hardware(),
        "versions": versions("lightning"),
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
