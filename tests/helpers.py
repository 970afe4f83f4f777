"""Tables of all implementations, and references that are slow and obviously right."""

from itertools import product

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import stochastic_depth as sd

SCHEDULES = {
    "uniform": sd.schedules.uniform(0.7),
    "linear-huang": sd.schedules.linear(0.4),
    "linear-linspace": sd.schedules.linear(0.4, rule="linspace"),
    "linear-offset": sd.schedules.linear(0.4, rule="offset"),
    "power": sd.schedules.power(0.3, exponent=2.5),
    "cosine": sd.schedules.cosine(0.2),
    "exponential": sd.schedules.exponential(0.2),
}

FAMILIES = {
    "uniform": sd.schedules.uniform,
    "linear-huang": sd.schedules.linear,
    "linear-linspace": lambda last: sd.schedules.linear(last, rule="linspace"),
    "linear-offset": lambda last: sd.schedules.linear(last, rule="offset"),
    "power": lambda last: sd.schedules.power(last, exponent=2.5),
    "cosine": sd.schedules.cosine,
    "exponential": sd.schedules.exponential,
}

RESCALES = ("train", "test", "none")

P = [1.0, 0.9, 0.35, 0.2, 0.0, 0.75]
"""Survival probabilities with both ends and nothing at one half; they sum to 3.2."""

LAWS = {
    **{f"bernoulli-{r}": sd.gates.Bernoulli(P, rescale=r) for r in RESCALES},
    **{f"fixed-depth-{r}": sd.gates.FixedDepth(P, rescale=r) for r in RESCALES},
    "fixed-depth-whole": sd.gates.FixedDepth([0.9, 0.8, 0.3], rescale="test"),
    "deterministic": sd.gates.Deterministic([1.0, 0.0, 0.5, 2.0]),
}

ALL_GATES = {
    length: torch.tensor(list(product([0.0, 1.0], repeat=length))) for length in range(1, 9)
}
"""All 2^L gate vectors, one per row."""

probability = st.floats(0, 1, allow_nan=False)
probabilities = st.lists(probability, min_size=1, max_size=12)
num_blocks = st.integers(1, 200)


def convolutional(
    num_blocks: int = 4, *, norm: bool = False, activation: bool = True
) -> nn.ModuleList:
    """A chain of residual blocks on images, without batch statistics unless asked for."""

    def branch() -> nn.Sequential:
        layers = [nn.Conv2d(4, 4, 3, padding=1)]
        layers += [nn.BatchNorm2d(4)] if norm else []
        return nn.Sequential(*layers, nn.Tanh(), nn.Conv2d(4, 4, 1))

    relu = nn.ReLU() if activation else None
    return nn.ModuleList(
        sd.blocks.Residual(branch(), activation=relu, scale=0.7, activated=activation)
        for _ in range(num_blocks)
    )


class Toy(nn.Module):
    """f(x, gates) for a chain of blocks."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x: Tensor, gates: Tensor, execution: str = "auto") -> Tensor:
        for block, gate in zip(self.blocks, sd.blocks.lower(gates, execution), strict=True):
            x = block(x, gate)
        return x
