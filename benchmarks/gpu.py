"""Time training steps on a GPU: constant depth, masks of the library, and ours.

    python benchmarks/gpu.py --json benchmarks/results/gpu.json [--minutes 10]

Needs neither network nor data. For every network, first: gated outputs and gradients of a step
are those on the processor. Then eager, compiled, and compiled with CUDA graphs, in bfloat16:
milliseconds of a step, interleaved; the ratio to compiled constant depth times the live share;
kernels launched and waits for the device per step; peak memory. A network that would begin
after the minutes are over is left out, and named. Nobody has run it on a GPU yet.
"""

import argparse
import copy
import json
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from compiled_step import next_token, resnet110, small, timm_network
from models_step import Step, classification, live_share
from torch import nn
from torch.profiler import ProfilerActivity, profile

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

DROP_RATE = 0.5
MODES: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "compiled": {},
    "CUDA graphs": {"mode": "reduce-overhead"},
}
"""Arguments of the compiler; None for no compiler."""


def gpt2_small(rate: float) -> nn.Module:
    """GPT-2 of 124 million parameters; its library has no masks."""
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False))


def images(batch: int, size: int) -> Any:
    return lambda: torch.randn(batch, 3, size, size)


NETWORKS: dict[str, tuple[Any, Any, Any, bool]] = {
    "ResNet-110": (resnet110, images(128, 32), small, False),
    "ViT-S/16": (timm_network("vit_small_patch16_224"), images(128, 224), classification, True),
    "ResNet-50": (timm_network("resnet50"), images(128, 224), classification, True),
    "ConvNeXt-T": (timm_network("convnext_tiny"), images(128, 224), classification, True),
    "GPT-2 small": (gpt2_small, lambda: torch.randint(0, 50257, (16, 512)), next_token, False),
    "ResNet-20": (  # to try the program where there is no GPU
        lambda _: sd.models.CifarResNet(20, num_classes=10), images(16, 32), small, False,
    ),
}  # fmt: skip
"""Network, a batch, its loss, and whether its library has masks."""


class TimedStep(Step):
    """A step in bfloat16, timed with the device done."""

    def seconds(self) -> float:
        """Train one step."""
        wait(self.x.device)
        start = time.perf_counter()
        self.optimizer.zero_grad()
        with torch.autocast(self.x.device.type, torch.bfloat16):
            loss = self.loss(self.model, self.x)
        loss.backward()
        self.optimizer.step()
        wait(self.x.device)
        return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def difference(name: str, device: torch.device) -> float:
    """Return the largest difference to the processor of a gated step, relative, in float32."""
    build, batch, loss, _ = NETWORKS[name]
    model, x = build(0.0), batch()[:4]
    handle = sd.apply(model, sd.schedules.uniform(1 - DROP_RATE), per="sample", example=x)
    twin = copy.deepcopy(model).to(device)
    loss(model.train(), x).backward()
    loss(twin.train(), x.to(device)).backward()
    gates = sd.surgery.handle(twin).gates
    assert torch.equal(gates, handle.gates), "the device drew other gates"
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    grads = [(p.grad, q.grad.cpu()) for p, q in pairs if p.grad is not None]
    return max(float((a - b).norm() / a.norm().clamp(min=1e-12)) for a, b in grads)


def implementations(name: str, device: torch.device) -> dict[str, TimedStep]:
    build, batch, loss, masks = NETWORKS[name]
    x = batch().to(device)
    steps = {"constant depth": TimedStep(build(0.0).to(device), x, loss=loss)}
    if masks:
        steps["masks of the library"] = TimedStep(build(DROP_RATE).to(device), x, loss=loss)
    for label, per in (("ours, per batch", "batch"), ("ours, per sample", "subset")):
        model = build(0.0)
        p = sd.schedules.uniform(1 - DROP_RATE)
        handle = sd.apply(model, p, per=per, example=batch()[:2])
        if per == "batch":  # as many blocks in every step
            handle.law = sd.gates.FixedDepth(handle.survival)
        steps[label] = TimedStep(model.to(device), x, handle, loss)
    return steps


def launches(step: TimedStep) -> dict[str, int | None]:
    """Count kernels and waits of one step; None where there is no device to count on."""
    if step.x.device.type != "cuda":
        return {"kernels": None, "waits": None}
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        step.seconds()
    kernels = sum("LaunchKernel" in event.name for event in profiler.events())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        step.seconds()
        torch.cuda.set_sync_debug_mode("default")
    return {"kernels": kernels, "waits": sum("synchronizing" in str(w.message) for w in caught)}


def measure(name: str, device: torch.device, modes: list[str], rounds: int) -> dict[str, Any]:
    """Time all implementations of a network in all modes, taking turns."""
    steps: dict[tuple[str, str], TimedStep] = {}
    first: dict[tuple[str, str], float] = {}
    for mode in modes:
        for label, step in implementations(name, device).items():
            if (options := MODES[mode]) is not None:
                step.model.compile(**options)
            steps[mode, label] = step
            first[mode, label] = step.seconds()
    share = sd.plan(steps[modes[0], "ours, per batch"].model).network_share
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    live: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for _ in range(rounds):
        for key, step in steps.items():
            seconds[key].append(step.seconds())
            ours = step.handle is not None
            live[key].append(live_share(step.handle, share) if ours else 1.0)
    base = median(seconds["compiled" if "compiled" in modes else modes[0], "constant depth"])
    ideals = {
        key: [t / (base * s) for t, s in zip(times, live[key], strict=True)]
        for key, times in seconds.items()
    }
    rows = [
        {
            "mode": mode, "implementation": label, "first_step_seconds": first[mode, label],
            "milliseconds": 1000 * median(times),
            "to_constant": median(times) / base,
            "to_ideal": median(ideals[mode, label]),
            **launches(steps[mode, label]),
            "peak_bytes": _peak(steps[mode, label]),
        }
        for (mode, label), times in seconds.items()
    ]  # fmt: skip
    return {"model": name, "difference": difference(name, device), "rows": rows}


def _peak(step: TimedStep) -> int | None:
    if step.x.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step.seconds()
    return torch.cuda.max_memory_allocated() - before


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = [name for name in NETWORKS if name != "ResNet-20"]
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=usual)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    device, start, results = torch.device(arguments.device), time.monotonic(), []
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is visible; --device cpu --networks ResNet-20 tries the program")
    left_out = []
    for name in arguments.networks:
        if time.monotonic() - start > 60 * arguments.minutes:
            left_out.append(name)
            continue
        torch._dynamo.reset()
        torch.manual_seed(0)
        results.append(measure(name, device, arguments.modes, arguments.rounds))
        print(json.dumps(results[-1], indent=1), flush=True)
        if arguments.json:
            gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
            record = {
                "models": results, "drop_rate": DROP_RATE, "rounds": arguments.rounds, "gpu": gpu,
                "hardware": hardware(), "versions": versions("timm", "transformers"),
            }  # fmt: skip
            arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if left_out:
        print(f"left out, for want of time: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
