"""Two processes train one model for 200 steps while each drops blocks of its own.

    python benchmarks/distributed.py [--steps N] [--json FILE]

Replicas under DistributedDataParallel (gloo) with independent gates: a block that one
process skips and the other runs in the same step must neither hang the two nor let their
weights drift apart. Reported are the steps in which their gates differed, and the largest
difference between their weights at the end.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

BATCH, SIZE, CLASSES = 4, 32, 10
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "CifarResNet(20, width=8)": lambda: sd.models.CifarResNet(20, CLASSES, width=8),
    "torchvision.resnet18": lambda: torchvision.models.resnet18(num_classes=CLASSES),
    "torchvision.vit (6 blocks)": lambda: torchvision.models.VisionTransformer(
        image_size=SIZE, patch_size=8, num_layers=6, num_heads=2, hidden_dim=32, mlp_dim=64,
        num_classes=CLASSES,
    ),
}  # fmt: skip
WRAPPERS: dict[str, dict[str, bool]] = {
    "none": {"find_unused_parameters": True},
    "zero": {"static_graph": True},
}


def train(name: str, dropped_grads: Any, steps: int) -> dict[str, Any]:
    """Train in this process; return its weights and gates."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    handle = sd.apply(
        model, sd.schedules.uniform(0.6), ranks="independent", dropped_grads=dropped_grads
    )
    wrapped = DistributedDataParallel(model.train(), **WRAPPERS[dropped_grads])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    noise = torch.Generator().manual_seed(distributed.get_rank())
    gates, started = [], time.perf_counter()
    for _ in range(steps):
        images = torch.randn(BATCH, 3, SIZE, SIZE, generator=noise)
        labels = torch.randint(CLASSES, (BATCH,), generator=noise)
        optimizer.zero_grad()
        cross_entropy(wrapped(images), labels).backward()
        optimizer.step()
        gates.append(handle.gates)
    seconds = time.perf_counter() - started
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    return {"weights": weights, "gates": torch.stack(gates), "seconds": seconds}


def process(rank: int, directory: Path, steps: int) -> None:
    """Be one of two processes."""
    torch.set_num_threads(1)
    meeting = f"file://{directory / 'meeting'}"
    distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    done = {(name, kind): train(name, kind, steps) for name in NETWORKS for kind in WRAPPERS}
    torch.save(done, directory / f"{rank}.pt")
    distributed.destroy_process_group()


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return what became of the two replicas of one setting."""
    ours, theirs = first["gates"] != 0, second["gates"] != 0
    apart = [float((a - second["weights"][name]).abs().max())
             for name, a in first["weights"].items()]  # fmt: skip
    return {
        "steps": len(ours),
        "steps_in_which_gates_differed": int((ours != theirs).any(1).sum()),
        "blocks_dropped_on_one_process_only": int((ours != theirs).sum()),
        "blocks_dropped_on_both": int((~ours & ~theirs).sum()),
        "largest_difference_of_weights": max(apart),
        "finite": all(bool(w.isfinite().all()) for w in first["weights"].values()),
        "milliseconds_per_step": round(1000 * first["seconds"] / len(ours), 2),
    }


def main() -> None:
    """Train, compare, print, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        pair = [
            context.Process(target=process, args=(rank, Path(name), arguments.steps))
            for rank in range(2)
        ]
        for each in pair:
            each.start()
        for each in pair:
            each.join()
        ranks = [torch.load(Path(name) / f"{rank}.pt") for rank in range(2)]
    found = {
        f"{name}, dropped_grads={kind!r}": compare(*(rank[name, kind] for rank in ranks))
        for name in NETWORKS
        for kind in WRAPPERS
    }
    result = {"settings": found, "wrappers": WRAPPERS, "hardware": hardware(),
              "versions": versions("torchvision")}  # fmt: skip
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
