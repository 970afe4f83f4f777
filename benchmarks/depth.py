"""Memory and time of a training step against depth, from 20 to 2402 layers.

    python benchmarks/depth.py [OUT.json] [FIGURES]

The network is the CIFAR ResNet of Huang et al., at constant depth and with stochastic depth (linear
decay to 0.5), each also with activation checkpointing: the L blocks are cut into about sqrt(L)
segments, of which only the inputs are kept; the backward pass computes the rest again, under the
same gates (Chen et al. 2016, "Training deep nets with sublinear memory cost").

Every network trains in a process of its own on one thread. Memory is the highest resident set of
the process minus what it held when weights, gradients and momentum were allocated and no step had
been taken: what the activations of a step need. Time is the median processor time of the steps.
Stochastic depth draws from the law of fixed depth, so that every step runs the expected number of
blocks. In checkpointed networks batch normalisation counts each batch twice in its running means.
"""

import gc
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

import stochastic_depth as sd
from stochastic_depth._files import write_text
from stochastic_depth._provenance import hardware, versions
from stochastic_depth.reports import Figure

DEPTHS = (20, 56, 110, 302, 602, 1202, 2402)
BATCH, IMAGE, STEPS = 16, 16, 5
CONSTANT, STOCHASTIC = "constant", "stochastic"
PLAIN, CHECKPOINTED = "", ", checkpointed"
NETWORKS = [gates + kept for kept in (PLAIN, CHECKPOINTED) for gates in (CONSTANT, STOCHASTIC)]
DEEP = 302  # the slopes are those from here on: below, what does not grow with depth counts


def main(path: Path, figures: Path) -> None:
    rows = [in_its_own_process(network, depth) for depth in DEPTHS for network in NETWORKS]
    table = pl.DataFrame(rows)
    record = {
        "network": "CifarResNet, width 16, float32, channels-last, SGD with momentum",
        "batch_size": BATCH,
        "image_size": IMAGE,
        "steps": STEPS,
        "hardware": hardware(),
        "versions": versions(),
        "rows": rows,
        "slopes": {network: slopes(table.filter(network=network)) for network in NETWORKS},
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
    for column, title in (("megabytes", "memory of a step, MB"), ("seconds", "time of a step, s")):
        drawn = figure(table, column, title, record["slopes"])
        write_text(figures / f"{drawn.name}.svg", drawn.svg())
    for network, found in record["slopes"].items():
        print(network, found)


def in_its_own_process(network: str, depth: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", network, str(depth)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    print(row, flush=True)
    return row


def one(network: str, depth: int) -> dict[str, Any]:
    """Train a few steps; return memory and time of one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    load_code()
    model = sd.models.CifarResNet(depth, 10).to(memory_format=torch.channels_last)
    optimizer = allocated(model)
    forward = checkpointed if network.endswith(CHECKPOINTED) else whole
    survival = sd.schedules.linear(0.5)(len(model.blocks))
    law = sd.gates.FixedDepth(survival, rescale="test")
    x = torch.randn(BATCH, 3, IMAGE, IMAGE).contiguous(memory_format=torch.channels_last)
    y = torch.randint(10, (BATCH,))
    gc.collect()
    forget_highest()
    before, seconds = resident("VmRSS"), []
    for step in range(STEPS):
        start = time.process_time()
        gates = None
        if network.startswith(STOCHASTIC):
            gates = law.sample(generator=sd.gates.stream(0, step))
        optimizer.zero_grad(set_to_none=False)
        cross_entropy(forward(model, x, gates), y).backward()
        optimizer.step()
        seconds.append(time.process_time() - start)
    highest = resident("VmHWM")
    return {
        "network": network,
        "depth": depth,
        "blocks": len(model.blocks),
        "megabytes": round((highest - before) / 1e6, 1),
        "seconds": round(statistics.median(seconds[1:]), 4),
    }


def load_code() -> None:
    """Take a step of a tiny network: code that is loaded at its first use is no activation."""
    model = sd.models.CifarResNet(8, 10, width=1)
    checkpointed(model, torch.randn(2, 3, 8, 8), None).sum().backward()


def allocated(model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return an optimizer whose gradients and momentum are in memory already."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


def whole(model: sd.models.CifarResNet, x: Tensor, gates: Tensor | None) -> Tensor:
    return model(x, gates)


def checkpointed(model: sd.models.CifarResNet, x: Tensor, gates: Tensor | None) -> Tensor:
    """Return the logits; keep the input of every segment alone."""
    ready = [1.0] * len(model.blocks) if gates is None else sd.blocks.lower(gates)
    pairs = list(zip(model.blocks, ready, strict=True))
    length = math.isqrt(len(pairs))
    h = model.stem(x)
    for first in range(0, len(pairs), length):
        segment = run(pairs[first : first + length])
        h = checkpoint(segment, h, use_reentrant=False, preserve_rng_state=False)
    return model.head(model.pool(h).flatten(1))


def run(pairs: list[tuple[torch.nn.Module, Any]]) -> Callable[[Tensor], Tensor]:
    def segment(h: Tensor) -> Tensor:
        for block, gate in pairs:
            h = block(h, gate)
        return h

    return segment


def forget_highest() -> None:
    """Let the highest resident set be the present one (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(name: str) -> int:
    """Return bytes of this process in memory: now (`VmRSS`), or the most there were (`VmHWM`).

    Not `ru_maxrss`: that of a new process includes what its parent held.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def slopes(rows: pl.DataFrame) -> dict[str, float]:
    """Return exponents over the deep networks, and megabytes and milliseconds per block."""
    deep = rows.filter(pl.col("depth") >= DEEP)
    blocks, memory, seconds = (deep[name].to_numpy() for name in ("blocks", "megabytes", "seconds"))
    return {
        "memory_exponent": _round(np.polyfit(np.log(blocks), np.log(memory), 1)[0]),
        "time_exponent": _round(np.polyfit(np.log(blocks), np.log(seconds), 1)[0]),
        "megabytes_per_block": _round(np.polyfit(blocks, memory, 1)[0]),
        "milliseconds_per_block": _round(1000 * np.polyfit(blocks, seconds, 1)[0]),
    }


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def figure(table: pl.DataFrame, column: str, title: str, found: dict[str, Any]) -> Figure:
    exponent = "memory_exponent" if column == "megabytes" else "time_exponent"
    stated = ", ".join(f"{name} {values[exponent]:g}" for name, values in found.items())
    caption = (
        f"CIFAR ResNet, batch of {BATCH}, {IMAGE} x {IMAGE} pixels, one thread. Exponents of the "
        f"depth, from {DEEP} layers on: {stated}."
    )
    x = alt.X("depth:Q", title="layers", scale=alt.Scale(type="log"), axis=alt.Axis(values=DEPTHS))
    y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(type="log"))
    colour = alt.Color("network:N", scale=alt.Scale(domain=NETWORKS))
    chart = alt.Chart(table).mark_line(point=True).encode(x=x, y=y, color=colour)
    return Figure(
        f"depth-{column}", f"{title.partition(',')[0].capitalize()} by depth", *[caption] * 2, chart
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2], int(sys.argv[3]))))
    else:
        defaults = ("benchmarks/results/depth.json", "docs/assets")
        main(*(Path(argument) for argument in (*sys.argv[1:], *defaults[len(sys.argv) - 1 :])))
