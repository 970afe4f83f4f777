"""What a training step through the program costs beyond the bare loop.

    python benchmarks/training_overhead.py [--json FILE]

The program trains at constant depth with everything a run does per step: Lightning, the
record of loss, error and gradient, the learning-rate schedule. After each of its epochs
the bare loop trains a twin of the network for an epoch on the same batches, in the same
process; the two take turns, and the median over rounds of their ratio is reported. CPU
seconds of the process are counted, on one thread, so that other processes matter little.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch.nn.functional import cross_entropy

from stochastic_depth._provenance import hardware, versions
from stochastic_depth.training import RunConfig, load, prepare, train
from stochastic_depth.training import _fit as program

# depth, width, batch size, image size, steps of an epoch, rounds
SETTINGS = ((20, 16, 64, 16, 25, 15), (56, 8, 32, 8, 50, 15), (110, 16, 128, 32, 3, 8))


class Twin(Callback):
    """Times an epoch of the program, and after it one of the bare loop."""

    def __init__(self, config: RunConfig) -> None:
        prepared = prepare(config)
        self.model = prepared.model
        self.optimizer = config.optimizer.build(self.model.parameters(), lr=0.01)
        self.batches = program.training_batches(prepared.splits.train, config)
        self.program: list[float] = []
        self.bare: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start the clock of the program."""
        self.started = time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop it, and time the bare loop."""
        self.program.append(time.process_time() - self.started)
        started = time.process_time()
        for images, labels in self.batches:
            loss = cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.bare.append(time.process_time() - started)


def measure(depth: int, width: int, batch: int, size: int, steps: int, rounds: int) -> dict:
    config = load(
        "demo_digits",
        {
            "model.init_args.depth": depth,
            "model.init_args.width": width,
            "data.image_size": size,
            "data.limit": steps * batch,
            "batch_size": batch,
            "epochs": rounds + 1,
            "evaluate_every": rounds + 1,
            "checkpoint_every": rounds + 1,
            "depth.enabled": False,
            "threads": 1,
        },
    )
    twin = Twin(config)
    plain_trainer = program.new_trainer

    def timed_trainer(*arguments: Any) -> Trainer:
        trainer = plain_trainer(*arguments)
        trainer.callbacks.insert(0, twin)
        return trainer

    program.new_trainer = timed_trainer
    try:
        with tempfile.TemporaryDirectory() as directory:
            train(config, Path(directory) / "run", progress=False)
    finally:
        program.new_trainer = plain_trainer
    pairs = list(zip(twin.program, twin.bare, strict=True))[1:]  # the first warms up
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
