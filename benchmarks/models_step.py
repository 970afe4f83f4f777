"""Time a training step of the usual models beside the masks of their libraries.

    python benchmarks/models_step.py [--batch 8] [--rounds 3] [--json FILE]

Every implementation trains the same network on the same batch, in one process, taking
turns. One thread, processor time. The ideal is the time at constant depth without the
floating point operations of what was dropped (in a step that has drawn other blocks, of
those), so that 1 means: what is dropped costs nothing.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

Build = Callable[[float], nn.Module]
"""Drop rate -> model, with the masks of its library."""


def timm_model(name: str) -> Build:
    return lambda rate: timm.create_model(name, drop_path_rate=rate)


def torchvision_convnext(rate: float) -> nn.Module:
    return torchvision.models.convnext_tiny(stochastic_depth_prob=rate)


MODELS: dict[str, tuple[float, dict[str, Build]]] = {
    "ViT-S/16": (0.5, {"timm": timm_model("vit_small_patch16_224")}),
    "ConvNeXt-T": (
        0.5,
        {"timm": timm_model("convnext_tiny"), "torchvision": torchvision_convnext},
    ),
    "ResNet-50": (0.2, {"timm": timm_model("resnet50")}),
}
"""Drop rate of the last block, and who masks."""


Loss = Callable[[nn.Module, Tensor], Tensor]


def classification(model: nn.Module, images: Tensor) -> Tensor:
    """Return the loss of a classifier on made-up labels."""
    return nn.functional.cross_entropy(model(images), torch.arange(len(images)) % 1000)


class Step:
    """One network and its optimizer."""

    def __init__(
        self, model: nn.Module, x: Tensor, handle: Any = None, loss: Loss = classification
    ) -> None:
        self.model, self.x, self.handle, self.loss = model.train(), x, handle, loss
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def seconds(self) -> float:
        """Train one step."""
        start = time.process_time()
        self.optimizer.zero_grad()
        self.loss(self.model, self.x).backward()
        self.optimizer.step()
        return time.process_time() - start


def live_share(handle: Any, network_share: float) -> float:
    """Return the share of all operations that the last step ran."""
    active = (handle.gates != 0).double()
    active = active if active.ndim == 1 else active.mean(1)
    costs = torch.tensor([block.cost for block in handle.blocks], dtype=torch.float64)
    return 1 - network_share * float(((1 - active) * costs).sum() / costs.sum())


def measure(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Time all implementations of one model."""
    rate, libraries = MODELS[name]
    torch.manual_seed(0)
    images = torch.randn(batch, 3, 224, 224)
    first = next(iter(libraries.values()))
    schedule = sd.schedules.linear(1 - rate, rule="linspace")
    steps = {"constant depth": Step(first(0.0), images)}
    for library, build in libraries.items():
        steps[f"{library}, masks"] = Step(build(rate), images)
    for label, per in (("ours, per batch", "batch"), ("ours, per sample", "subset")):
        model = first(0.0)
        handle = sd.apply(model, schedule, per=per, transitions="drop", example=images[:1])
        if per == "batch":  # as many blocks in every step, so that its time says more
            handle.law = sd.gates.FixedDepth(handle.survival, rescale="train")
        steps[label] = Step(model, images, handle)
    share = sd.plan(steps["ours, per batch"].model).network_share
    expected = 1 - share * (1 - sd.plan(steps["ours, per batch"].model).live_share)
    return {"model": name, "rate": rate, "rows": compare(steps, expected, share, rounds)}


def compare(steps: dict[str, Step], expected: float, share: float, rounds: int) -> list[dict]:
    """Take turns, and relate each step to the constant one of its round."""
    seconds: dict[str, list[float]] = {key: [] for key in steps}
    ideals: dict[str, list[float]] = {key: [] for key in steps}
    for number in range(rounds + 1):
        for key, step in steps.items():
            took = step.seconds()
            if number:  # the first warms up
                seconds[key].append(took)
                ideals[key].append(live_share(step.handle, share) if step.handle else expected)
    constant = seconds["constant depth"]
    return [
        {
            "implementation": key,
            "seconds": median(seconds[key]),
            "to_constant": median(s / c for s, c in zip(seconds[key], constant, strict=True)),
            "to_ideal": median(
                s / (c * i) for s, c, i in zip(seconds[key], constant, ideals[key], strict=True)
            ),
        }
        for key in steps
        if key != "constant depth"
    ] + [{"implementation": "constant depth", "seconds": median(constant)}]


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for name in MODELS:
        results.append(measure(name, arguments.batch, arguments.rounds))
        print(json.dumps(results[-1]), flush=True)
    if arguments.json:
        record = {
            "models": results,
            "batch_size": arguments.batch,
            "image_size": 224,
            "threads": 1,
            "rounds": arguments.rounds,
            "hardware": hardware(),
            "versions": versions("timm", "torchvision"),
        }
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
