"""All blocks at once against a loop over blocks, and all masks at once against a loop over masks.

    python benchmarks/theory.py [OUT.json]

Sensitivities: one backward pass, against leaving out one block after another.
Discrepancies: as many backward passes as outputs, all together, against the derivative in one
gate after another, and against central finite differences, the cheaper and inexact loop.
Masks: 200 networks of one input in the batch dimension, against one forward pass each, in which
dropped branches do not run.

One thread; the two of a pair run in turn, and the median of the rounds' CPU times is reported.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

DEPTH, WIDTH, OUTPUTS, SAMPLES, MASKS, ROUNDS = 100, 512, 10, 128, 200, 3
STEP = 1e-2  # of the finite differences, in float32


def main(path: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = sd.models.VanillaResNet(DEPTH, WIDTH, 64, OUTPUTS).requires_grad_(False)
    x, y = torch.randn(SAMPLES, 64), torch.randint(0, OUTPUTS, (SAMPLES,))
    law = sd.gates.Bernoulli(sd.schedules.linear(0.5)(DEPTH), rescale="test")
    pairs = {
        "sensitivities": (
            lambda: sd.theory.sensitivities(model, x, y, cross_entropy),
            lambda: leave_out_one_by_one(model, x, y),
        ),
        "discrepancies, against finite differences": (
            lambda: sd.theory.discrepancies(model, x),
            lambda: differences_one_by_one(model, x),
        ),
        "discrepancies, against one gate at a time": (
            lambda: sd.theory.discrepancies(model, x),
            lambda: derivatives_one_by_one(model, x),
        ),
        f"{MASKS} masks of one input": (
            lambda: all_masks(model, x[:1], y[:1], law),
            lambda: masks_one_by_one(model, x[:1], y[:1], law),
        ),
    }
    record = {
        "network": f"VanillaResNet, L = {DEPTH}, width {WIDTH}, {OUTPUTS} outputs",
        "samples": SAMPLES,
        "rounds": ROUNDS,
        "hardware": hardware(),
        "versions": versions(),
        "results": {name: compare(*pair) for name, pair in pairs.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n")
    for name, result in record["results"].items():
        print(f"{name}: {result['together_s']} s against {result['loop_s']} s", end="")
        print(f" = {result['ratio']} times; relative difference {result['difference']:.1e}")


def compare(together: Callable[[], Tensor], loop: Callable[[], Tensor]) -> dict[str, float]:
    times: dict[str, list[float]] = {"together": [], "loop": []}
    results = {}
    for _ in range(ROUNDS):
        for name, work in (("together", together), ("loop", loop)):
            start = time.process_time()
            results[name] = work()
            times[name].append(time.process_time() - start)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    gap = (results["together"] - results["loop"]).abs().max() / results["loop"].abs().max()
    return {
        "together_s": round(seconds["together"], 4),
        "loop_s": round(seconds["loop"], 4),
        "ratio": round(seconds["loop"] / seconds["together"], 1),
        "difference": float(f"{gap:.2g}"),
    }


@torch.no_grad()
def leave_out_one_by_one(model: torch.nn.Module, x: Tensor, y: Tensor) -> Tensor:
    full = cross_entropy(model(x), y)
    without = 1 - torch.eye(DEPTH)
    return torch.stack([full - cross_entropy(model(x, gates), y) for gates in without])


@torch.no_grad()
def differences_one_by_one(model: torch.nn.Module, x: Tensor) -> Tensor:
    ones, steps = torch.ones(DEPTH), STEP * torch.eye(DEPTH)
    return torch.stack([(model(x, ones + s) - model(x, ones - s)) / (2 * STEP) for s in steps])


def derivatives_one_by_one(model: torch.nn.Module, x: Tensor) -> Tensor:
    columns = torch.eye(OUTPUTS)[:, None].expand(-1, SAMPLES, -1)
    zeta = []
    for block in range(DEPTH):
        gate = torch.ones(SAMPLES, requires_grad=True)
        outputs = run_with_gate(model, x, block, gate)
        grads = [torch.autograd.grad(outputs, gate, c, retain_graph=True)[0] for c in columns]
        zeta.append(torch.stack(grads, dim=1))
    return torch.stack(zeta)


def run_with_gate(model: torch.nn.Module, x: Tensor, gated: int, gate: Tensor) -> Tensor:
    y = model.encoder(x)
    for index, block in enumerate(model.blocks):
        y = block(y, gate if index == gated else 1.0)
    return model.decoder(torch.relu(y))


def all_masks(model: torch.nn.Module, x: Tensor, y: Tensor, law: sd.gates.Law) -> Tensor:
    generator = sd.gates.stream(0, 0)
    arguments = {"draws": MASKS, "generator": generator}
    found = sd.theory.expected_loss(model, x, y, cross_entropy, law, "monte_carlo", **arguments)
    return torch.tensor(found.value)


@torch.no_grad()
def masks_one_by_one(model: torch.nn.Module, x: Tensor, y: Tensor, law: sd.gates.Law) -> Tensor:
    gates = law.sample(MASKS, generator=sd.gates.stream(0, 0))
    return torch.stack([cross_entropy(model(x, d), y) for d in gates.T]).mean()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmarks/results/theory.json"))
