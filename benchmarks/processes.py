"""Two processes against one: the same weights, and what a step takes.

    python -m benchmarks.processes --out benchmarks/results/processes.json

50 steps of a network without batch statistics in float64, with one process on whole batches
and with two on halves of them; then the time per step of a wider network, beside
constant depth, interleaved.
"""

import argparse
import json
import tempfile
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from stochastic_depth._provenance import hardware, versions
from stochastic_depth.experiments import RunRecord
from stochastic_depth.models import VanillaResNet
from stochastic_depth.training import load, train
from stochastic_depth.training._checkpoint import read

SETTINGS = {
    "model": f"{__spec__.name}.FlatResNet",
    "data.limit": 1000,
    "data.test_limit": 100,
    "batch_size": 100,
    "learning_rate.warmup_epochs": 0,
    "evaluate_every": 100,
    "threads": 1,
    "accelerator": "cpu",
    "loggers": [],
}
EXACT = {"model.init_args.width": 32, "precision": "float64", "epochs": 5}
LARGE = {"model.init_args.width": 256, "precision": "float32", "epochs": 3}
LINEAR = {"depth.schedule": "linear", "depth.last": 0.5}
DIVISIONS: dict[str, dict[str, Any]] = {
    "two processes": {"processes": 2},
    "two processes, gradients of zero": {"processes": 2, "depth.dropped_grads": "zero"},
    "two processes, two parts each": {"processes": 2, "accumulate": 2},
    "two processes, last batch of 1 image and 2": {"processes": 2, "data.limit": 903},
}
KINDS: dict[str, dict[str, Any]] = {
    "constant": {"depth.enabled": False},
    "shared": {"depth.ranks": "shared"},
    "independent": {"depth.ranks": "independent"},
}


class FlatResNet(nn.Module):
    """Sixteen residual blocks on flat images, without batch statistics."""

    def __init__(self, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.net = VanillaResNet(depth=16, width=width, inputs=64, outputs=num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.net(x.flatten(1))


class Runs:
    """Runs in directories that are thrown away."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.numbers = count()

    def __call__(self, fields: dict[str, Any]) -> RunRecord:
        """Train, and return the record."""
        directory = self.top / str(next(self.numbers))
        train(load("demo_digits", {**SETTINGS, **LINEAR, **fields}), directory, progress=False)
        return RunRecord.read(directory)


def weights(run: RunRecord) -> tuple[int, dict[str, Tensor]]:
    state = read(run.directory / "checkpoints" / "last.ckpt")
    return state["step"], state["model"]


def difference(runs: Runs, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the greatest difference of a weight from that of one process."""
    alone = {key: value for key, value in fields.items() if key not in ("processes", "accumulate")}
    steps, expected = weights(runs({**EXACT, **alone}))
    _, found = weights(runs({**EXACT, **fields}))
    gaps = [float((found[name] - expected[name]).abs().max()) for name in expected]
    largest = max(float(weight.abs().max()) for weight in expected.values())
    return {"steps": steps, "greatest_difference": max(gaps), "greatest_weight": largest}


def step(runs: Runs, kind: str) -> dict[str, float]:
    run = runs({**LARGE, **KINDS[kind], "processes": 2})
    steps = run.metrics["step"][-1]
    seconds = run.metrics["seconds"].to_list()[1:]  # the first epoch warms up
    per_epoch = steps / run.metrics.height
    return {
        "seconds": median(seconds) / per_epoch,
        "live_share": run.summary.live_share,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/processes.json"))
    arguments = options.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        runs = Runs(Path(directory))
        same = {name: difference(runs, fields) for name, fields in DIVISIONS.items()}
        print(json.dumps(same, indent=1), flush=True)
        rounds = [{kind: step(runs, kind) for kind in KINDS} for _ in range(arguments.rounds)]
    steps = {
        kind: {key: median(r[kind][key] for r in rounds) for key in rounds[0][kind]}
        for kind in KINDS
    }
    for measured in steps.values():
        measured["seconds_to_constant"] = measured["seconds"] / steps["constant"]["seconds"]
    print(json.dumps(steps, indent=1), flush=True)
    record = {
        "same_weights": same,
        "per_step": steps,
        "rounds": rounds,
        "settings": SETTINGS | LINEAR,
        "exact": EXACT,
        "large": LARGE,
        "hardware": hardware(),
        "versions": versions("lightning"),
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
