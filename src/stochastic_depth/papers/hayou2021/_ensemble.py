"""Vanilla residual networks, many at once: expectations over weights in few passes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ... import gates as laws

NUMBERS = 2**25
"""Weights held at a time: 128 MB in float32."""


class Ensemble:
    """Networks as `models.VanillaResNet`, with independent weights.

    Row i of a batch is sent through network i mod `copies`, so that repeating a batch
    whose length is a multiple of `copies` keeps rows with their networks.

    Args:
        copies: number of networks.
        population: their shape and scaling.
        generator: draws the weights.
    """

    def __init__(self, copies: int, population: "Population", generator: Generator) -> None:
        def normal(*shape: int, variance: float) -> Tensor:
            return torch.empty(shape).normal_(std=math.sqrt(variance), generator=generator)

        depth, width, inputs = population.depth, population.width, population.inputs
        self.copies, self.scale = copies, population.scale
        self.encoder = normal(copies, inputs, width, variance=1 / inputs)
        self.blocks = normal(depth, copies, width, width, variance=2 / width)
        self.decoder = normal(copies, width, population.outputs, variance=1 / width)

    def __call__(self, x: Tensor, gates: Tensor) -> Float[Tensor, "rows outputs"]:
        """Return the output of every row's own network."""
        return self.states(x, gates)[-1]

    def states(self, x: Tensor, gates: Tensor) -> list[Tensor]:
        """Return y_0, ..., y_L and the output."""
        hidden = [self._multiply(x, self.encoder)]
        for weight, gate in zip(self.blocks, gates, strict=True):
            branch = self._multiply(torch.relu(hidden[-1]), weight)
            hidden.append(hidden[-1] + self.scale * gate.to(x.dtype).reshape(-1, 1) * branch)
        return [*hidden, self._multiply(torch.relu(hidden[-1]), self.decoder)]

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        used = min(len(x), self.copies)
        rows = x.unflatten(0, (-1, used)).transpose(0, 1)
        return torch.bmm(rows, weight[:used]).transpose(0, 1).flatten(0, 1)


@dataclass(frozen=True)
class Population:
    """`draws` networks with independent weights, iterated over as ensembles that fit memory.

    Args:
        draws: number of networks in all.
        depth: L.
        width: N.
        inputs: length of the input.
        outputs: length of the output.
        stable: a = 1/sqrt(L); otherwise a = 1.
        seed: the weights are a function of it.
    """

    draws: int
    depth: int
    width: int
    inputs: int = 64
    outputs: int = 1
    stable: bool = True
    seed: int = 0

    @property
    def scale(self) -> float:
        """The depth scaling a."""
        return self.depth**-0.5 if self.stable else 1.0

    def __len__(self) -> int:
        return -(-self.draws // self._together)

    def __iter__(self) -> Iterator[Ensemble]:
        for step in range(len(self)):
            copies = min(self._together, self.draws - step * self._together)
            yield Ensemble(copies, self, laws.stream(self.seed, step, rank=1))

    @property
    def _together(self) -> int:
        return max(1, min(self.draws, NUMBERS // (self.depth * self.width**2)))
