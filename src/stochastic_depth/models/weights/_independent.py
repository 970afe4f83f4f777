"""Weights that are independent from layer to layer: the standard initialisation."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from ..._checks import count
from ._process import WeightProcess


class IndependentProcess(WeightProcess):
    """Abstract process without memory."""

    memoryless: ClassVar[bool] = True

    def covariance(self, depth: int) -> Tensor:
        return torch.eye(count("depth", depth), dtype=torch.float64, device="cpu")


@dataclass(frozen=True, repr=False)
class Gaussian(IndependentProcess):
    """Standard normal values, independent from layer to layer.

    Example:
        >>> import torch
        >>> from stochastic_depth.models import weights
        >>> weights.gaussian().sample(1000, (4, 4)).shape
        torch.Size([1000, 4, 4])
    """

    def _draw(self, values: Tensor, generator: Generator | None) -> None:
        values.normal_(generator=generator)


@dataclass(frozen=True, repr=False)
class Uniform(IndependentProcess):
    """Values uniform on [-sqrt(3), sqrt(3)], independent from layer to layer.

    Example:
        >>> from stochastic_depth.models import weights
        >>> bool(weights.uniform().sample(1000).abs().max() <= 3**0.5)
        True

    References:
        Marion et al. 2022: with 1/sqrt(width), the initialisation of their experiments.
    """

    def _draw(self, values: Tensor, generator: Generator | None) -> None:
        values.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)
