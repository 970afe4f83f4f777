"""What photographs on the disk cost: seconds per step, memory, and a kill in the epoch.

    python benchmarks/streaming.py step FOLDER [--json FILE]
    python benchmarks/streaming.py memory FOLDER SCRATCH [--loading stream] [--gigabytes 30]

FOLDER holds JPEG files of any sizes, one folder per class.

`step` trains one network by the program and by a bare loop with the same transforms, in turns
of an epoch, and reports the median ratio of their seconds: from the disk (bare: torchvision's
ImageFolder in torch's DataLoader) and from memory (bare: indexing, normalizing and mirroring by
hand). With workers the wall clock counts, without them the CPU seconds of the process.

`memory` writes photographs as pixels without compression, repeats them by hard links until the
set is as large as asked for (in shards, copies of one archive), and trains on it: once to the
end, and once killed (SIGKILL) within the epoch and resumed. It reports the memory of all
processes over time, each page counted once (proportional set size), and whether the weights of
both are equal to the bit.
"""

import argparse
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from stochastic_depth._files import write_text
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training import RunConfig, load, prepare
from stochastic_depth.training._launch import Ending, quiet
from stochastic_depth.training._loop import Training
from stochastic_depth.training._run_directory import RunDirectory

SIDE = 720  # of an image of the large set: 1.5 MB of pixels
DISTINCT = 200  # images of it; the others are the same bytes by other names
BATCH = 50
SIZE = 64  # pixels of a crop in `step`: the network is small, so that reading shows
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def settings(folder: Path, **fields: Any) -> RunConfig:
    """Return a run of a small network on photographs."""
    overrides = {
        "model.class_path": "stochastic_depth.models.CifarResNet",
        "model.init_args": {"depth": 8, "width": 8},
        "data.name": str(folder),
        "batch_size": BATCH,
        "epochs": 1,
        "checkpoint_every_steps": None,
        "learning_rate.warmup_epochs": 0,
        "threads": 1,
        "loggers": [],
        **{name.replace("__", "."): value for name, value in fields.items()},
    }
    return load("photographs", overrides)


# ---------------------------------------------------------------- seconds per step


def bare_disk(config: RunConfig, folder: Path, workers: int) -> Callable[[], Iterator[Any]]:
    """Return what yields an epoch of batches as a loop by hand has them."""
    data = config.data
    transform = v2.Compose(
        [
            v2.Lambda(lambda image: image.convert("RGB")),
            v2.RandomResizedCrop(data.image_size, data.crop_scale),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    images = ImageFolder(str(folder), transform)

    def epoch() -> Iterator[Any]:
        loader = DataLoader(images, config.batch_size, shuffle=True, num_workers=workers)
        for x, y in loader:
            yield x.contiguous(memory_format=torch.channels_last), y

    return epoch


def bare_memory(pixels: torch.Tensor, labels: torch.Tensor, batch: int) -> Callable[[], Any]:
    """Return what yields an epoch of mirrored batches of images in memory."""
    mean, std = (255 * torch.tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))

    def epoch() -> Iterator[Any]:
        for rows in torch.randperm(len(labels)).split(batch):
            x = (pixels[rows].float() - mean) / std
            mirrored = torch.rand(len(rows), 1, 1, 1) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
            yield x.contiguous(memory_format=torch.channels_last), labels[rows]

    return epoch


def bare_epoch(model: nn.Module, optimizer: Any, batches: Iterator[Any]) -> None:
    """Train for an epoch with nothing around it."""
    for images, labels in batches:
        loss = cross_entropy(model(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def measured(config: RunConfig, bare: Callable[[], Iterator[Any]], rounds: int, clock: Any) -> Any:
    """Return the seconds of an epoch by the program and by hand, in turns."""
    prepared = prepare(config)
    twin = prepare(config).model
    optimizer = config.optimizer.build(twin.parameters(), lr=0.001)
    pairs = []
    with tempfile.TemporaryDirectory() as directory, quiet():
        training = Training(prepared, RunDirectory(directory), Ending())
        for epoch in range(rounds + 1):
            started = clock()
            training.train_epoch(epoch, lambda step, words: None)
            between = clock()
            bare_epoch(twin, optimizer, bare())
            pairs.append((between - started, clock() - between))
    return pairs[1:], len(training.batches)  # the first warms up


def step(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Time both data paths."""
    rows = []
    few = {"data__validation": 0, "data__image_size": SIZE, "depth__enabled": False}
    few |= {"epochs": rounds + 2, "evaluate_every": rounds + 2, "checkpoint_every": rounds + 2}
    train = divided(folder)
    for workers in (0, 2):
        config = settings(train, data__workers=workers, **few)
        bare = bare_disk(config, train / "train", workers)
        clock = time.perf_counter if workers else time.process_time
        pairs, steps = measured(config, bare, rounds, clock)
        rows.append(row(f"disk, {workers} workers", pairs, steps, bool(workers)))
        print(rows[-1], flush=True)
    plain = {"data__crop_scale": None, "data__crop_share": 1.0, "data__loading": "memory"}
    config = settings(train, **plain, **few)
    images = prepare(config).splits.train
    bare = bare_memory(images.images.contiguous(), images.labels, config.batch_size)
    pairs, steps = measured(config, bare, rounds, time.process_time)
    rows.append(row("memory", pairs, steps, wall=False))
    print(rows[-1], flush=True)
    return rows


def divided(folder: Path) -> Path:
    """Return a folder with the images as `train`, and one of each class as `test`."""
    place = Path(tempfile.mkdtemp(prefix="streaming-"))
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = sorted(kind.iterdir())
        for split, chosen in (("train", images), ("test", images[:1])):
            (place / split / kind.name).mkdir(parents=True)
            for image in chosen:
                (place / split / kind.name / image.name).symlink_to(image.resolve())
    return place


def row(path: str, pairs: Any, steps: int, wall: bool) -> dict[str, Any]:
    return {
        "path": path,
        "clock": "wall" if wall else "CPU of the process",
        "bare_milliseconds": round(1000 * median(bare for _, bare in pairs) / steps, 2),
        "ratio": round(median(ours / bare for ours, bare in pairs), 3),
        "ratios": sorted(round(ours / bare, 3) for ours, bare in pairs),
        "steps": steps,
        "rounds": len(pairs),
    }


# ---------------------------------------------------------------- memory, and a kill


def large_set(folder: Path, scratch: Path, loading: str, gigabytes: float) -> tuple[Path, int]:
    """Write the large set, and return its folder and its number of images."""
    place = scratch / loading
    shutil.rmtree(place, ignore_errors=True)
    paths = sorted(folder.glob("*/*.jpg"))
    random.Random(0).shuffle(paths)  # noqa: S311  # no secret
    encoded = [(path, pixels(path)) for path in paths[:DISTINCT]]
    copies = round(gigabytes * 1e9 / sum(len(data) for _, data in encoded))
    classes = sorted({path.parent.name for path, _ in encoded})
    write = shards if loading == "stream" else files
    write(place, encoded, classes, copies)
    return place, copies * len(encoded)


def pixels(path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").resize((SIDE, SIDE)).save(buffer, "ppm")
    return buffer.getvalue()


def files(place: Path, encoded: Any, classes: list[str], copies: int) -> None:
    for path, data in encoded:
        kind = place / "train" / path.parent.name
        kind.mkdir(parents=True, exist_ok=True)
        first = kind / f"{path.stem}-0.ppm"
        first.write_bytes(data)
        for copy in range(1, copies):
            os.link(first, kind / f"{path.stem}-{copy}.ppm")
    for name in classes:
        (place / "test" / name).mkdir(parents=True)
        image = next((place / "train" / name).iterdir())
        os.link(image, place / "test" / name / image.name)


def shards(place: Path, encoded: Any, classes: list[str], copies: int) -> None:
    place.mkdir(parents=True)
    for split, part in (("train", encoded), ("test", encoded[:50])):
        with tarfile.open(place / f"{split}-0000.tar", "w") as archive:
            for path, data in part:
                label = str(classes.index(path.parent.name)).encode()
                for suffix, content in (("ppm", data), ("cls", label)):
                    member = tarfile.TarInfo(f"{path.stem}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    for copy in range(1, copies):
        os.link(place / "train-0000.tar", place / f"train-{copy:04d}.tar")


def command(place: Path, out: Path, loading: str, every: int) -> list[str]:
    options = {
        "recipe": "photographs",
        "model": "stochastic_depth.models.CifarResNet",
        "model.init_args.depth": 8,
        "model.init_args.width": 4,
        "data": place,
        "data.loading": loading,
        "image-size": 32,
        "data.validation": 0,
        "batch_size": BATCH,
        "epochs": 1,
        "threads": 1,
        "loggers": "[]",
        "learning_rate.warmup_epochs": 0,
        "checkpoint_every_steps": every,
        "progress": "false",
        "out": out,
    }
    program = [
        sys.executable,
        "-c",
        "from stochastic_depth.cli import main; raise SystemExit(main())",
    ]
    return [*program, "train", *(f"--{name}={value}" for name, value in options.items())]


def memory_of(process: psutil.Process) -> tuple[float, int]:
    """Return the megabytes of a process and its children, and how many processes they are."""
    total, number = 0, 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
            number += 1
        except psutil.Error:
            continue
    return total / 1e6, number


def watched(words: list[str], kill_after: Path | None = None) -> dict[str, Any]:
    """Run a training, and return its memory over time; kill it once a file is there."""
    started, samples = time.perf_counter(), []
    child = subprocess.Popen(words)
    process = psutil.Process(child.pid)
    while child.poll() is None:
        try:
            megabytes, number = memory_of(process)
        except psutil.Error:
            break
        samples.append((round(time.perf_counter() - started, 1), round(megabytes), number))
        if kill_after is not None and kill_after.exists():
            time.sleep(5)  # some steps beyond the checkpoint
            child.send_signal(signal.SIGKILL)
            break
        time.sleep(2)
    return {"status": child.wait(), "samples": samples}


def memory(folder: Path, scratch: Path, loading: str, gigabytes: float) -> dict[str, Any]:
    """Train on a large set, whole and killed; compare memory and weights."""
    place, number = large_set(folder, scratch, loading, gigabytes)
    steps = number // BATCH
    outs = {name: scratch / f"{loading}-{name}" for name in ("whole", "killed")}
    for out in outs.values():
        shutil.rmtree(out, ignore_errors=True)
    words = {name: command(place, out, loading, steps // 3) for name, out in outs.items()}
    whole = watched(words["whole"])
    killed = watched(words["killed"], outs["killed"] / "checkpoints" / "last.ckpt")
    resumed = watched(words["killed"])
    ends = [torch.load(out / "checkpoints" / "last.ckpt")["model"] for out in outs.values()]
    training = [m for _, m, processes in whole["samples"] if processes > 1]
    quarter = len(training) // 4
    result = {
        "loading": loading,
        "gigabytes": round(number * SIDE * SIDE * 3 / 1e9, 1),
        "images": number,
        "distinct": DISTINCT,
        "steps": steps,
        "megabytes_second_quarter": round(median(training[quarter : 2 * quarter])),
        "megabytes_last_quarter": round(median(training[-quarter:])),
        "megabytes_most": max(training),
        "seconds": whole["samples"][-1][0],
        "killed_status": killed["status"],
        "resumed_seconds": resumed["samples"][-1][0],
        "equal_to_the_bit": all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0]),
        "memory": [sample[:2] for sample in whole["samples"]],
    }
    print({key: value for key, value in result.items() if key != "memory"}, flush=True)
    return result


def main() -> None:
    """Measure, print, and write if asked; a file keeps what the other measurement wrote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("step", "memory"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("scratch", type=Path, nargs="?")
    parser.add_argument("--loading", choices=("disk", "stream"), default="disk")
    parser.add_argument("--gigabytes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "step":
        found, key = step(given.folder, given.rounds), "step"
    else:
        scratch = given.scratch or Path(tempfile.mkdtemp())
        found, key = memory(given.folder, scratch, given.loading, given.gigabytes), given.loading
    if given.json:
        before = json.loads(given.json.read_text()) if given.json.exists() else {}
        record = {"hardware": hardware(), "versions": versions("torchvision", "datasets", "pillow")}
        write_text(given.json, json.dumps(before | record | {key: found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
