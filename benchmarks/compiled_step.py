"""Time a compiled training step: constant depth, the masks of the library, and ours.

    python benchmarks/compiled_step.py [--rounds 11] [--networks NAME ...] [--json FILE]

Every network is compiled whole by inductor, once for all draws and drop rates, on one thread.
Seconds are those of the processor: the machine may be busy.
Beside the seconds stand the graphs that were made, in how many steps, and what compiling took.
The ideal is that of `models_step`: compiled constant depth, without the operations of what was
dropped.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import timm
import torch
import transformers
from models_step import Step, classification, compare
from torch import Tensor, nn
from torch._dynamo.utils import counters

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

DROP_RATES = (0.0, 0.2, 0.5)
"""The same for every block; 0 for all gates open."""


def timm_network(name: str, **options: Any) -> Any:
    """Return what builds a network of timm, with its masks."""

    def build(rate: float) -> nn.Module:
        model = timm.create_model(name, drop_path_rate=rate, **options)
        for path, module in model.named_modules():  # every block alike, not rising linearly
            if "drop_path" in path and hasattr(module, "drop_prob"):
                module.drop_prob = rate
        return model

    return build


def resnet110(rate: float) -> nn.Module:
    """ResNet-110 for small images; it has no masks."""
    return sd.models.CifarResNet(110, num_classes=10)


def gpt2(rate: float) -> nn.Module:
    """GPT-2 with 12 blocks of width 256; its library has no masks."""
    config = transformers.GPT2Config(
        n_embd=256, n_layer=12, n_head=4, vocab_size=1000, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def next_token(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the loss of a language model."""
    return model(ids, labels=ids).loss


def images(size: int, batch: int = 32) -> Any:
    """Return what makes a batch of images; a dropped block costs two of them."""
    return lambda: torch.randn(batch, 3, size, size)


def small(model: nn.Module, x: Tensor) -> Tensor:
    """Return the loss of a classifier of ten classes on made-up labels."""
    return nn.functional.cross_entropy(model(x), torch.arange(len(x)) % 10)


NETWORKS: dict[str, tuple[Any, Any, Any, bool]] = {
    "GPT-2, 12 blocks": (gpt2, lambda: torch.randint(0, 1000, (16, 128)), next_token, False),
    "ViT-S/16": (
        timm_network("vit_small_patch16_224", img_size=112), images(112), classification, True,
    ),
    "ConvNeXt-T": (timm_network("convnext_tiny"), images(112), classification, True),
    "ResNet-50": (timm_network("resnet50"), images(112), classification, True),
    "ResNet-110": (resnet110, images(32, 64), small, False),
}  # fmt: skip
"""Network, a batch, its loss, and whether its library has masks."""


def compiled(step: Step) -> tuple[Step, float]:
    """Compile the network of a step; return it and the seconds that its first step took."""
    step.model.compile()
    start = time.perf_counter()
    step.seconds()
    return step, time.perf_counter() - start


def measure(name: str, rounds: int, only: list[str] | None = None) -> dict[str, Any]:
    """Time all implementations of one network at all drop rates."""
    build, batch, loss, masks = NETWORKS[name]
    torch.manual_seed(0)
    x = batch()
    seconds, steps = {}, {}
    steps["constant depth"] = Step(build(0.0), x, loss=loss)
    if masks:
        steps["masks of the library"] = Step(build(0.5), x, loss=loss)
    for label, per in (("ours, per batch", "batch"), ("ours, per sample", "subset")):
        model = build(0.0)
        handle = sd.apply(model, sd.schedules.uniform(0.5), per=per, example=x[:2])
        steps[label] = Step(model, x, handle, loss)
    steps = {label: step for label, step in steps.items() if only is None or label in only}
    for label, step in steps.items():
        counters.clear()
        _, seconds[label] = compiled(step)
    ours = next(step for step in steps.values() if step.handle is not None)
    share = sd.plan(ours.model).network_share
    results = [_at(steps, rate, share, rounds) for rate in DROP_RATES]
    return {"model": name, "compile_seconds": seconds, "rates": results}


def _at(steps: dict[str, Step], rate: float, share: float, rounds: int) -> dict[str, Any]:
    for step in steps.values():
        if step.handle is None:
            continue
        if step.handle._controller.options.per == "batch":  # as many blocks in every step
            step.handle.law = sd.gates.FixedDepth([1 - rate] * len(step.handle.blocks))
        else:
            step.handle.survival = 1 - rate
    shown = {k: s for k, s in steps.items() if k != "masks of the library" or rate == 0.5}
    before = counters["stats"]["unique_graphs"]
    rows = compare(shown, 1 - share * rate, share, rounds)
    return {"rate": rate, "rows": rows, "new_graphs": counters["stats"]["unique_graphs"] - before}


def graphs(steps: int) -> list[dict[str, Any]]:
    """Count the graphs of small networks over many random draws; nothing is timed.

    The first step makes them; those that a later one makes are recompilations.
    """
    vit = timm_network("vit_tiny_patch16_224", img_size=32, depth=3, embed_dim=48)
    small_networks = {
        "ViT, 3 blocks": (vit, images(32, 8), classification),
        "ResNet-14": (lambda _: sd.models.CifarResNet(14, 10, width=4), images(8, 8), small),
    }
    results = []
    for name, (build, batch, loss) in small_networks.items():
        for per in ("batch", "sample"):
            torch._dynamo.reset()
            counters.clear()
            model, x = build(0.0), batch()
            handle = sd.apply(model, sd.schedules.uniform(0.5), per=per, example=x[:2])
            model.compile(backend="eager")
            step, after = Step(model, x, handle, loss), []
            for _ in range(steps):
                step.seconds()
                after.append(counters["stats"]["unique_graphs"])
            results.append(
                {"model": name, "per": per, "steps": steps, "graphs": after[0],
                 "recompilations": after[-1] - after[0]}
            )  # fmt: skip
    return results


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--only", nargs="+", metavar="IMPLEMENTATION")
    parser.add_argument("--draws", type=int, help="count graphs over so many steps, and no more")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.draws:
        counted = json.dumps(graphs(arguments.draws), indent=2)
        print(counted)
        if arguments.json:
            arguments.json.write_text(counted + "\n", encoding="utf-8")
        return
    results = []
    for name in arguments.networks:
        results.append(measure(name, arguments.rounds, arguments.only))
        print(json.dumps(results[-1], indent=1), flush=True)
        if arguments.json:
            record = {
                "models": results, "threads": 1, "rounds": arguments.rounds,
                "hardware": hardware(), "versions": versions("timm", "transformers"),
            }  # fmt: skip
            arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
