"""Kill training again and again, in every way it can be stopped, and compare how it ends.

    sudo python benchmarks/faults.py --kills 100

A small network trains in a directory on a small disk of its own: in one process or two, on
images in memory or read from a folder. At random moments, half of them while a file is being
written, one of seven things happens to it; then it is resumed. Every time, all files that
stand in the directory must be whole, and the log a beginning of that of a run that nothing
happened to; in the end weights, log and gates must be those of that run, to the bit.
The disk is a real one, which needs the right to mount: it is full, or ext4 makes it read-only
because of an error, while files are open. Kills are added to those of the file `--out`.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from stochastic_depth import StochasticDepthError
from stochastic_depth._files import PARTIAL, leftovers, write_text
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training import RunConfig, load, override, train
from stochastic_depth.training._checkpoint import read

FORKSERVER = multiprocessing.get_context("forkserver")
DISK = 16 << 20
GRACE = 8.0  # seconds in which processes must have noticed by themselves that one is lost
MARGIN = 60.0  # seconds in which a run that something has happened to must have ended
SETTINGS = {
    "model.class_path": "stochastic_depth.models.CifarResNet",
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "epochs": 24,
    "evaluate_every": 2,
    "evaluate_every_steps": 7,
    "checkpoint_every": 1,
    "checkpoint_every_steps": 3,
    "threads": 1,
    "accelerator": "cpu",
    "loggers": [],
}
MEMORY = {"data.limit": 100, "data.validation": 40, "data.test_limit": 60, "data.shift": 1}
FOLDER = {"data.loading": "disk", "data.image_size": 8, "data.workers": 0, "batch_size": 30}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "one process, in memory": MEMORY,
    "two processes, in memory": MEMORY | {"processes": 2},
    "one process, from a folder": FOLDER,
    "two processes, from a folder": FOLDER | {"processes": 2},
}


def configuration(name: str, images: Path) -> RunConfig:
    """Return a configuration by its name."""
    fields = CONFIGURATIONS[name]
    if "data.loading" not in fields:
        return load("demo_digits", SETTINGS | fields)
    return load("photographs", SETTINGS | fields | {"data.name": str(images)})


def write_images(folder: Path) -> Path:
    """Write 160 digits as files, in folders by class."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:160], digits.target, strict=False)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(place / f"{number}.png")
    return folder


class Disk:
    """A small ext4 file system in a file, mounted at `path`.

    Args:
        path: where it appears.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image = path.with_suffix(".img")

    def __enter__(self) -> "Disk":
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(DISK)
        _system("mkfs.ext4", "-q", self.image)
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        _system("umount", "--lazy", self.path)
        self.image.unlink()

    def _mount(self) -> None:
        _system("mount", "-o", "loop,errors=remount-ro", self.image, self.path)

    def fail(self) -> None:
        """Let the kernel find an error: from now on nothing can be written, nor synchronised."""
        device = Path(_system("findmnt", "-no", "SOURCE", self.path).strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """Check the file system, as after a crash, and mount it again."""
        _system("umount", self.path)
        subprocess.run(["e2fsck", "-fy", self.image], capture_output=True)  # noqa: S607
        self._mount()


def _system(*command: Any) -> str:
    ended = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed: {ended.stderr.strip()}")
    return ended.stdout


class Run:
    """A run on a disk of its own, and what has happened to it."""

    def __init__(self, config: RunConfig, disk: Path) -> None:
        self.config = config
        self.path = disk / "run"
        self.processes: list[Any] = []
        self.spoilt = b""  # what was made of the newest checkpoint

    def start(self) -> None:
        """Train, or go on training, in processes of its own, told what torchrun would say."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        world = self.config.processes
        told = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "TORCHELASTIC_RUN_ID": "faults"}
        told |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
        ranks = [
            told | {"RANK": rank, "LOCAL_RANK": rank} if world > 1 else {} for rank in range(world)
        ]
        self.processes = [
            FORKSERVER.Process(target=_train, args=(self.config, self.path, own)) for own in ranks
        ]
        for process in self.processes:
            process.start()

    def wait(self, seconds: float) -> bool:
        """Wait for the first process to end, and return whether none has ended."""
        connection.wait([process.sentinel for process in self.processes], seconds)
        return all(process.is_alive() for process in self.processes)

    def end(self, patience: float = MARGIN) -> list[int]:
        """Wait for the processes to end; what a lost one leaves behind is told to, as by torchrun.

        A process that waits for another to appear does not notice by itself that it is lost.
        """
        connection.wait([process.sentinel for process in self.processes], patience)
        for seconds, number in ((GRACE, signal.SIGTERM), (patience, signal.SIGKILL)):
            deadline = time.monotonic() + seconds
            for process in self.processes:
                process.join(max(0.0, deadline - time.monotonic()))
            if None not in self.exits:
                return self.exits
            self.signal(number)
        raise RuntimeError(f"the processes did not end by themselves: {self.exits}")

    def signal(self, number: int, ranks: Iterable[int] = range(2)) -> None:
        """Send a signal to some of the processes, by default to all."""
        for rank in ranks:
            if rank < len(self.processes) and self.processes[rank].is_alive():
                os.kill(self.processes[rank].pid, number)

    def some(self, chance: random.Random) -> list[int]:
        """Choose which processes something happens to: one of them, or all."""
        ranks = range(len(self.processes))
        return chance.choice([[rank] for rank in ranks] + [list(ranks)])

    @property
    def exits(self) -> list[int]:
        """The exit status of each process."""
        return [process.exitcode for process in self.processes]


def _train(config: RunConfig, path: Path, told: Mapping[str, object]) -> None:
    os.environ.update({name: str(value) for name, value in told.items()})
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (what it says of the faults)
    train(config, path, progress=False)


def sigkill(run: Run, disk: Disk, chance: random.Random) -> None:
    """What the kernel does to a process when memory runs out, or to all when power fails."""
    run.signal(signal.SIGKILL, run.some(chance))
    run.end()


def sigterm(run: Run, disk: Disk, chance: random.Random) -> None:
    """What a scheduler sends before the time is up."""
    run.signal(signal.SIGTERM, run.some(chance))
    run.end()


def full_disk(run: Run, disk: Disk, chance: random.Random) -> None:
    """Leave room for less than a checkpoint, or for none at all."""
    ballast = disk.path / "ballast"
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


def read_only(run: Run, disk: Disk, chance: random.Random) -> None:
    """Take the right to write away, as a file system does on which an error was found."""
    disk.fail()
    run.end()
    disk.mend()


def corrupted_checkpoint(run: Run, disk: Disk, chance: random.Random) -> None:
    """Kill, and spoil the newest checkpoint: cut it off, or change one byte of it."""
    sigkill(run, disk, chance)
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


def changed_configuration(run: Run, disk: Disk, chance: random.Random) -> None:
    """Kill, and resume with another network, which must be refused."""
    sigkill(run, disk, chance)
    if (run.path / "config.yaml").exists():
        _refused(override(run.config, {"model.init_args.width": 8}), run.path, "width")


def second_run(run: Run, disk: Disk, chance: random.Random) -> None:
    """Start the same run a second time in the same directory, which must be refused; kill."""
    record = run.path / "run.json"
    if record.exists() and json.loads(record.read_text())["pid"] == run.processes[0].pid:
        run.signal(signal.SIGSTOP)  # it would soon be done
        _refused(override(run.config, {"processes": 1}), run.path, "in use")
        run.signal(signal.SIGKILL)
    sigkill(run, disk, chance)


FAULTS: dict[str, Callable[[Run, Disk, random.Random], None]] = {
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


def differing_bits(path: Path, reference: Path) -> int:
    """Count the bits in which the weights and the gates of two finished runs differ."""
    pairs = [(np.load(path / "gates.npy"), np.load(reference / "gates.npy"))]
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (read(top / "checkpoints" / name)["model"] for top in (path, reference))
        assert one.keys() == other.keys()
        pairs += [(one[key].numpy(), other[key].numpy()) for key in one]
    flat = lambda part: np.ascontiguousarray(part).reshape(-1).view(np.uint8)  # noqa: E731
    return sum(int(np.unpackbits(flat(a) ^ flat(b)).sum()) for a, b in pairs)


def differences(path: Path, reference: Path) -> list[str]:
    """Return what of the rest that a finished run leaves is not as in the reference."""
    found = [
        n for n in ("metrics.csv", "evaluations.csv") if log_of(path, n) != log_of(reference, n)
    ]
    summaries = [json.loads((top / "run.json").read_text())["summary"] for top in (path, reference)]
    if summaries[0] | {"seconds": 0} != summaries[1] | {"seconds": 0}:
        found.append("summary")
    return found + [f"left over: {file.name}" for file in leftovers(path)]


def stopped(events: list[dict[str, Any]]) -> int:
    """Return how many faults ended a process; some come when it is about to end anyway."""
    return sum(any(event["exits"]) for event in events)


def wait_for_write(run: Run) -> None:
    """Wait until a file is being written, for a second at most."""
    deadline = time.monotonic() + 1
    while not being_written(run) and time.monotonic() < deadline and run.wait(0):
        pass


def being_written(run: Run) -> list[str]:
    """Return the files that are being written, or whose writing was ended by a fault."""
    folders = (run.path, run.path / "checkpoints")
    return [path.name for top in folders for path in top.glob(f".*{PARTIAL}")]


def befall(run: Run, disk: Disk, fault: str, chance: random.Random) -> dict[str, Any]:
    """Let a fault happen to a run that is under way, and return what it did."""
    if chance.random() < 0.5:
        wait_for_write(run)
    began = time.monotonic()
    FAULTS[fault](run, disk, chance)
    ended = round(time.monotonic() - began, 3)
    return {"fault": fault, "exits": run.exits, "seconds_to_end": ended}


def torment(run: Run, disk: Disk, reference: Path, chance: random.Random, length: float) -> list:
    """Let faults happen to a run until it ends; return them."""
    events: list[dict[str, Any]] = []
    order: list[str] = []
    while True:
        run.start()
        moment = chance.uniform(0, length)
        if not run.wait(moment):
            assert run.end() == [0] * len(run.processes), f"it failed by itself: {run.exits}"
            return events
        order = order or chance.sample(list(FAULTS), len(FAULTS))
        event = befall(run, disk, order.pop(), chance)
        state = {"step": newest_step(run), "while_writing": being_written(run)}
        state |= {"half_written": half_written(run), "astray": astray(run, reference)}
        events.append({"after_seconds": round(moment, 3), **event, **state})


class Series:
    """Runs of one configuration after another, and what nothing has happened to.

    Args:
        top: a directory that is thrown away.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.images = write_images(top / "images")
        self.references: dict[str, tuple[Path, float]] = {}

    def reference(self, name: str) -> tuple[Path, float]:
        """Return a run to which nothing happened, and how many seconds it took."""
        if name not in self.references:
            place = self.top / f"reference-{len(self.references)}"
            place.mkdir()
            run = Run(configuration(name, self.images), place)
            began = time.monotonic()
            run.start()
            assert not any(run.end(600)), "an undisturbed run failed"
            self.references[name] = run.path, time.monotonic() - began
        return self.references[name]

    def __call__(self, seed: int) -> dict[str, Any]:
        """Torment one run until it is finished, and compare it."""
        name = list(CONFIGURATIONS)[seed % len(CONFIGURATIONS)]
        reference, length = self.reference(name)
        chance = random.Random(seed)  # noqa: S311
        with Disk(self.top / f"disk-{seed}") as disk:
            run = Run(configuration(name, self.images), disk.path)
            events = torment(run, disk, reference, chance, length / 4)
            lines = [len(log_of(top, "metrics.csv")) for top in (reference, run.path)]
            return {
                "seed": seed,
                "configuration": name,
                "events": events,
                "differing_bits": differing_bits(run.path, reference),
                "differences": differences(run.path, reference),
                "log_lines_lost": lines[0] - lines[1],
            }


def totals(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts over all runs."""
    events = [event for run in runs for event in run["events"]]
    killed = [event for event in events if any(event["exits"])]
    kills_of = lambda name: sum(  # noqa: E731
        stopped(run["events"]) for run in runs if run["configuration"] == name
    )
    return {
        "faults": len(events),
        "kills": len(killed),
        "kills_while_writing": sum(bool(event["while_writing"]) for event in killed),
        "kills_while_writing_a_checkpoint": sum(
            any(".ckpt" in name for name in event["while_writing"]) for event in killed
        ),
        "longest_seconds_to_end": max((event["seconds_to_end"] for event in events), default=0),
        "runs": len(runs),
        "differing_bits": sum(run["differing_bits"] for run in runs),
        "runs_that_differ": sum(bool(run["differences"] or run["differing_bits"]) for run in runs),
        "log_lines_lost": sum(run["log_lines_lost"] for run in runs),
        "half_written_files": sum(len(event["half_written"]) for event in events),
        "logs_astray": sum(len(event["astray"]) for event in events),
        "kills_by_fault": dict(Counter(event["fault"] for event in killed)),
        "kills_by_configuration": {name: kills_of(name) for name in CONFIGURATIONS},
        "seeds": [run["seed"] for run in runs],
    }


def earlier(out: Path) -> tuple[list[dict[str, Any]], float]:
    """Return the runs of a record that is there already, and the seconds they took."""
    if not out.exists():
        return [], 0.0
    record = json.loads(out.read_text())
    if (record["settings"], record["configurations"]) != (SETTINGS, CONFIGURATIONS):
        raise SystemExit(f"{out} is of other settings. Give another --out, or remove it.")
    return record["each"], record["seconds"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--kills", type=int, default=100, help="to add to those of the record")
    options.add_argument("--minutes", type=float, default=60.0, help="after which no run begins")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/faults.json"))
    arguments = options.parse_args()
    FORKSERVER.set_forkserver_preload(["stochastic_depth.training._train", "sklearn.datasets"])
    runs, spent = earlier(arguments.out)
    began, wanted = time.monotonic(), totals(runs)["kills"] + arguments.kills
    with tempfile.TemporaryDirectory() as directory:
        series = Series(Path(directory))
        while totals(runs)["kills"] < wanted and time.monotonic() - began < 60 * arguments.minutes:
            runs.append(run := series(len(runs)))
            print(f"seed {run['seed']}: {len(run['events'])} faults,", end=" ")
            print(run["differing_bits"], run["differences"], run["configuration"], flush=True)
            record = totals(runs) | {
                "seconds": round(spent + time.monotonic() - began, 1),
                "settings": SETTINGS,
                "configurations": CONFIGURATIONS,
                "each": runs,
                "hardware": hardware(),
                "versions": versions("lightning"),
            }
            write_text(arguments.out, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
