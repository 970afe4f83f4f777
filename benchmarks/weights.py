"""Train from each weight process, with and without stochastic depth: what becomes of regularity.

    python benchmarks/weights.py DATA [OUT.json]

`sdepth train` on 1,000 CIFAR-10 images: res-1 of 200 blocks and width 20, scaled by L^-beta at
the critical beta of its initial weights, Adam for 10 epochs. The weights V over depth are
measured before and after: the exponent of their sums (Hurst: 1/2 for independent layers, towards
1 for smooth ones), that of the weights themselves (Hoelder: 0 for independent layers, 1 for smooth
ones, 1/2 for a random walk), and the length of their path.
"""

import json
import math
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stochastic_depth import theory
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.cli import main as sdepth
from stochastic_depth.training import load, prepare
from stochastic_depth.training._restore import restore

RECIPE, SEEDS = "marion2022_cifar10", range(3)
FIELDS = {
    "model.init_args.depth": 200,
    "model.init_args.width": 20,
    "data.limit": 1000,
    "data.test_limit": 1000,
    "epochs": 10,
    "evaluate_every": 10,
    "checkpoint_every": 10,
    "threads": 1,
    "loggers": [],
}
# Process: the critical exponent of its weights.
PROCESSES = {
    "gaussian": 0.5,
    "smooth(0.1)": 1.0,
    "fractional(0.3)": 0.5,
    "fractional(0.8)": 0.8,
    "brownian": 1.0,
}
DEPTHS = {"constant": {"depth.enabled": False}, "stochastic": {"depth.enabled": True}}


def main(data: Path, out: Path) -> None:
    cells = [cell(init, beta, depth, data) for init, beta in PROCESSES.items() for depth in DEPTHS]
    record = {
        "recipe": RECIPE,
        "fields": FIELDS,
        "survival": "linear, 0.5 at the end, where stochastic",
        "seeds": len(SEEDS),
        "hardware": hardware(),
        "versions": versions("lightning"),
        "cells": cells,
    }
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def cell(init: str, beta: float, depth: str, data: Path) -> dict:
    """Return the means over seeds, and their standard errors, of one process and depth."""
    runs = [measured(init, beta, depth, data, seed) for seed in SEEDS]
    table = {name: mean_and_error([run[name] for run in runs]) for name in runs[0]}
    print(init, depth, {name: round(mean, 3) for name, (mean, _) in table.items()}, flush=True)
    return {"init": init, "beta": beta, "depth": depth, **table}


def measured(init: str, beta: float, depth: str, data: Path, seed: int) -> dict[str, float]:
    own = {
        "data.data_dir": str(data),
        "model.init_args.init": init,
        "model.init_args.beta": beta,
        "seed": seed,
    }
    fields = FIELDS | own | DEPTHS[depth]
    before = regularity(prepare(load(RECIPE, fields)).model.layer_weights()[:, 0])
    with TemporaryDirectory() as directory:
        options = [
            f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in fields.items()
        ]
        if sdepth(["train", RECIPE, *options, f"--out={directory}/run", "--progress=false"]):
            raise SystemExit(f"sdepth train failed on {init}, {depth}, seed {seed}")
        restored = restore(f"{directory}/run")
        summary = json.loads((restored.directory / "run.json").read_text())["summary"]
        after = regularity(restored.prepared.model.layer_weights()[:, 0])
    return {
        "test_error": summary["test_error_last"],
        "train_error": summary["train_error_final"],
        "live_share": summary["live_share"],
        **{f"{name}_before": value for name, value in before.items()},
        **{f"{name}_after": value for name, value in after.items()},
    }


def regularity(weights: torch.Tensor) -> dict[str, float]:
    return {
        "hurst": theory.hurst_exponent(weights).value,
        "holder": theory.holder_exponent(weights).value,
        "total_variation": theory.total_variation(weights),
    }


def mean_and_error(values: list[float]) -> list[float]:
    sample = torch.tensor(values, dtype=torch.float64)
    return [float(sample.mean()), float(sample.std()) / math.sqrt(len(sample))]


if __name__ == "__main__":
    results = Path(__file__).parent / "results" / "weights.json"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else results)
