"""Two processes train one model while each drops blocks of its own.

    python benchmarks/distributed.py [--steps N] [--only TEXT] [--json FILE]

Networks for images under DistributedDataParallel (gloo), with gates of each process, and decoders
for text with gates of each sequence, as replicas and sharded by `fully_shard`. A block that one
process skips and the other runs in the same step must neither hang the two nor let their weights
drift apart. Reported are the steps in which their gates differed, and the largest difference
between their weights at the end; for shards, between them and the replicas'.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
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


def decoder(family: str) -> nn.Module:
    """Return a decoder of four layers."""
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    config = transformers.AutoConfig.for_model(family, vocab_size=64, use_cache=False, **sizes)
    if hasattr(config, "intermediate_size"):
        config.intermediate_size = 64
    return transformers.AutoModelForCausalLM.from_config(config)


DECODERS = ["gpt2", "llama"]
HOW = ["ddp", "fsdp"]


def train_decoder(family: str, how: str, steps: int) -> dict[str, Any]:
    """Train a decoder in this process, each sequence under gates of its own."""
    torch.manual_seed(0)
    model = decoder(family)
    handle = sd.apply(model, sd.schedules.linear(0.3), per="sample", seed=1)
    if how == "ddp":
        wrapped = DistributedDataParallel(model.train(), find_unused_parameters=True)
    else:
        for block in handle.blocks:
            fully_shard(model.get_submodule(block.path))
        wrapped = fully_shard(model.train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    noise = torch.Generator().manual_seed(distributed.get_rank())

    def loss() -> Tensor:
        tokens = torch.randint(64, (2, 8), generator=noise).cumsum(1) % 64
        return wrapped(input_ids=tokens, labels=tokens).loss

    return follow(loss, model, handle, optimizer, steps)


def train(name: str, dropped_grads: Any, steps: int) -> dict[str, Any]:
    """Train a network for images in this process; return its weights and gates."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    handle = sd.apply(
        model, sd.schedules.uniform(0.6), ranks="independent", dropped_grads=dropped_grads
    )
    wrapped = DistributedDataParallel(model.train(), **WRAPPERS[dropped_grads])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    noise = torch.Generator().manual_seed(distributed.get_rank())

    def loss() -> Tensor:
        images = torch.randn(BATCH, 3, SIZE, SIZE, generator=noise)
        labels = torch.randint(CLASSES, (BATCH,), generator=noise)
        return cross_entropy(wrapped(images), labels)

    return follow(loss, model, handle, optimizer, steps)


def follow(
    loss: Callable[[], Tensor],
    model: nn.Module,
    handle: sd.surgery.Handle,
    optimizer: torch.optim.Optimizer,
    steps: int,
) -> dict[str, Any]:
    """Take some steps; return the weights and the gates."""
    gates, started = [], time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        gates.append(handle.gates)
    seconds = time.perf_counter() - started
    weights = {
        name: weight.full_tensor() if isinstance(weight, DTensor) else weight.detach()
        for name, weight in model.named_parameters()
    }
    return {"weights": weights, "gates": torch.stack(gates), "seconds": seconds}


def settings(only: str) -> dict[str, Callable[[int], dict[str, Any]]]:
    """Return what is trained, by name: functions of the number of steps."""
    images = {
        f"{name}, dropped_grads={kind!r}": partial(train, name, kind)
        for name in NETWORKS
        for kind in WRAPPERS
    }
    text = {
        f"{family}, per sequence, {how}": partial(train_decoder, family, how)
        for family in DECODERS
        for how in HOW
    }
    return {name: run for name, run in (images | text).items() if only in name}


def process(rank: int, directory: Path, steps: int, only: str) -> None:
    """Be one of two processes."""
    torch.set_num_threads(1)
    meeting = f"file://{directory / 'meeting'}"
    distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    done = {name: run(steps) for name, run in settings(only).items()}
    torch.save(done, directory / f"{rank}.pt")
    distributed.destroy_process_group()


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return what became of the two replicas of one setting."""
    ours, theirs = (
        (each["gates"] != 0).reshape(*each["gates"].shape[:2], -1).any(2)
        for each in (first, second)
    )
    return {
        "steps": len(ours),
        "steps_in_which_gates_differed": int((ours != theirs).any(1).sum()),
        "blocks_dropped_on_one_process_only": int((ours != theirs).sum()),
        "blocks_dropped_on_both": int((~ours & ~theirs).sum()),
        "largest_difference_of_weights": apart(first, second),
        "finite": all(bool(w.isfinite().all()) for w in first["weights"].values()),
        "milliseconds_per_step": round(1000 * first["seconds"] / len(ours), 2),
    }


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Return the largest difference between the weights of two trainings."""
    pairs = ((weight, second["weights"][name]) for name, weight in first["weights"].items())
    return max(float((a - b).abs().max()) for a, b in pairs)


def main() -> None:
    """Train, compare, print, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", default="", help="settings whose name has this in it")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        pair = [
            context.Process(
                target=process, args=(rank, Path(name), arguments.steps, arguments.only)
            )
            for rank in range(2)
        ]
        for each in pair:
            each.start()
        for each in pair:
            each.join()
        ranks = [torch.load(Path(name) / f"{rank}.pt") for rank in range(2)]
    found = {name: compare(*(rank[name] for rank in ranks)) for name in ranks[0]}
    for name in found:
        replicas = name.replace("fsdp", "ddp")
        if replicas != name and replicas in found:
            found[name]["largest_difference_to_replicas"] = apart(
                ranks[0][name], ranks[0][replicas]
            )
    result = {"settings": found, "wrappers": WRAPPERS, "hardware": hardware(),
              "versions": versions("torchvision", "transformers")}  # fmt: skip
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
