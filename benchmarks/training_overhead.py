"""What a training step through the program costs beyond the bare loop.

    python benchmarks/training_overhead.py [--json FILE]

The program trains at constant depth with everything a run does per step: Fabric, the
record of loss, error and gradient, the learning-rate schedule. After each of its epochs
the bare loop trains a twin of the network for an epoch on the same batches, in the same
process; the two take turns, and the median over rounds of their ratio is reported. CPU
seconds of the process are counted, on one thread, so that other processes matter little.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training import load, prepare
from stochastic_depth.training._launch import Ending, quiet
from stochastic_depth.training._loop import Training
from stochastic_depth.training._prepare import training_batches
from stochastic_depth.training._run_directory import RunDirectory
from stochastic_depth.training.data import Batches

# depth, width, batch size, image size, steps of an epoch, rounds
SETTINGS = ((20, 16, 64, 16, 25, 15), (56, 8, 32, 8, 50, 15), (110, 16, 128, 32, 3, 8))


def bare_epoch(model: nn.Module, optimizer: Any, batches: Batches) -> None:
    """Train for an epoch with nothing around it."""
    for images, labels in batches:
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def seconds(function: Callable[..., None], *arguments: Any) -> float:
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def measure(depth: int, width: int, batch: int, size: int, steps: int, rounds: int) -> dict:
    config = load(
        "demo_digits",
        {
            "model.init_args.depth": depth,
            "model.init_args.width": width,
            "data.image_size": size,
            "data.limit": steps * batch,
            "batch_size": batch,
            "epochs": rounds + 2,
            "evaluate_every": rounds + 2,
            "checkpoint_every": rounds + 2,
            "depth.enabled": False,
            "threads": 1,
        },
    )
    twin = prepare(config)
    optimizer = config.optimizer.build(twin.model.parameters(), lr=0.01)
    pairs = []
    with tempfile.TemporaryDirectory() as directory, quiet():
        training = Training(prepare(config), RunDirectory(directory), Ending())
        batches = training_batches(twin.splits.train, config)
        for epoch in range(rounds + 1):
            ours = seconds(training.train_epoch, epoch, lambda step, words: None)
            pairs.append((ours, seconds(bare_epoch, twin.model, optimizer, batches)))
    pairs = pairs[1:]  # the first warms up
    return {
        "network": f"ResNet-{depth}, width {width}",
        "batch": f"{batch} at {size}x{size}",
        "bare_milliseconds": round(1000 * median(bare for _, bare in pairs) / steps, 2),
        "ratio": round(median(ours / bare for ours, bare in pairs), 4),
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(*setting) for setting in SETTINGS]
    for row in rows:
        print(row)
    if arguments.json:
        record = {"rows": rows, "hardware": hardware(), "versions": versions("lightning")}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
