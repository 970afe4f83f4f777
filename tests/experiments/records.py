"""Run directories as training writes them, with figures that look like a small image task."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from stochastic_depth.experiments import Comparison

TEST_IMAGES = 3000


def write_run(
    directory: Path,
    *,
    variant: str = "stochastic",
    seed: int = 0,
    last: float = 0.5,
    epochs: int = 24,
    steps_per_epoch: int = 31,
    num_blocks: int = 9,
    status: str = "finished",
    validation: int = 0,
    config: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    error: str = "",
) -> Path:
    """Write a run with linear survival 1 - (l/L)(1 - last); `last=1` is constant depth."""
    directory.mkdir(parents=True)
    generator = np.random.default_rng([seed, round(1000 * last)])
    survival = 1 - np.arange(1, num_blocks + 1) / num_blocks * (1 - last)
    done = epochs if status == "finished" else epochs // 2
    gates = (generator.random((done * steps_per_epoch, num_blocks)) < survival).astype(np.uint8)
    metrics = _metrics(generator, gates, survival, epochs, steps_per_epoch, validation)
    np.save(directory / "gates.npy", gates)
    metrics.write_csv(directory / "metrics.csv")
    resolved = _config(variant, seed, last, epochs) | (config or {})
    (directory / "config.yaml").write_text(yaml.safe_dump(resolved, sort_keys=False))
    run = {
        "name": "cifar10-small",
        "variant": variant,
        "seed": seed,
        "status": status,
        "error": error or None,
        "command": "sdepth compare cifar10-small --out runs/demo",
        "started": "2026-01-05T10:00:00+00:00",
        "finished": "2026-01-05T10:00:20+00:00" if status == "finished" else None,
        "versions": {"python": "3.11.7", "torch": "2.15.0", "stochastic_depth": "0.1.0"},
        "hardware": {"cpu": "Some CPU", "cores": 2, "threads": 1, "gpu": None},
        "data": {"name": "cifar10", "train": 2000, "validation": validation}
        | {"test": TEST_IMAGES, "classes": 10}
        | (data or {}),
        "blocks": [_block(index, float(p)) for index, p in enumerate(survival)],
        "summary": _summary(metrics, gates, validation) if status == "finished" else None,
    }
    (directory / "run.json").write_text(json.dumps(run, indent=2))
    return directory


def write_comparison(top: Path, seeds: tuple[int, ...] = (0, 1, 2), **options: Any) -> Path:
    """Write constant depth and linear decay to 0.5, one run of each per seed."""
    for seed in seeds:
        write_run(top / f"constant/seed-{seed}", variant="constant", seed=seed, last=1.0, **options)
        write_run(top / f"stochastic/seed-{seed}", variant="stochastic", seed=seed, **options)
    return top


def comparison(top: Path, seeds: tuple[int, ...] = (0, 1, 2), **options: Any) -> Comparison:
    """Write a comparison and read it back."""
    return Comparison.read(write_comparison(top, seeds, **options))


def _config(variant: str, seed: int, last: float, epochs: int) -> dict[str, Any]:
    return {
        "name": "cifar10-small",
        "variant": variant,
        "seed": seed,
        "epochs": epochs,
        "batch_size": 64,
        "data": {"name": "cifar10", "limit": 2000, "image_size": 16, "flip": False},
        "depth": {"enabled": last < 1, "schedule": "linear", "last": last},
    }


def _block(index: int, survival: float) -> dict[str, Any]:
    cost = [0.13, 0.11, 0.09][index % 3]
    return {"index": index, "path": f"blocks.{index}", "kind": "Residual", "droppable": True} | {
        "reason": "",
        "cost": cost,
        "survival": survival,
    }


def _metrics(
    generator: np.random.Generator,
    gates: np.ndarray,
    survival: np.ndarray,
    epochs: int,
    steps: int,
    validation: int,
) -> pl.DataFrame:
    """Return rows that fall the way errors fall: constant depth overfits, random depth lags."""
    rows = []
    share = float(survival.mean())
    for epoch in range(1, len(gates) // steps + 1):
        progress = epoch / epochs
        drawn = gates[(epoch - 1) * steps : epoch * steps]
        decay = math.exp(-(6 if share == 1 else 2) * progress)
        test = 51 + 9 * (share - 0.7) + 25 * math.exp(-5 * progress) + generator.normal(0, 0.6)
        rows.append(
            {
                "epoch": epoch,
                "step": epoch * steps,
                "lr": 0.05 * (1 + math.cos(math.pi * progress)),
                "train_loss": 2.2 * decay + 0.01,
                "train_error": 85 * decay,
                "validation_loss": 1.6 if validation else None,
                "validation_error": test + generator.normal(0, 1) if validation else None,
                "test_loss": 1.4 + (1.2 * progress if share == 1 else 0.6 * decay),
                "test_error": test,
                "seconds": 0.85 * (0.06 + 0.94 * float(drawn.mean())) + generator.normal(0, 0.01),
                "expected_depth": float(survival.sum()),
                "realised_depth": float(drawn.sum(1).mean()),
                "expected_cost": share,
                "realised_cost": float(drawn.mean()),
                "gradient_first_convolution": 0.01 * decay,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _summary(metrics: pl.DataFrame, gates: np.ndarray, validation: int) -> dict[str, Any]:
    final = metrics.row(-1, named=True)
    best = metrics.sort("validation_error").row(0, named=True) if validation else None
    return {
        "best_epoch": best["epoch"] if best else None,
        "best_validation_error": best["validation_error"] if best else None,
        "test_error_at_best": best["test_error"] if best else None,
        "test_error_last": final["test_error"],
        "train_error_running": final["train_error"],
        "train_error_final": 0.8 * final["train_error"],
        "seconds": metrics["seconds"].sum(),
        "realised_depth": float(gates.sum(1).mean()),
        "live_share": float(gates.mean()),
        "live_cost": float(gates.mean()),
    }
