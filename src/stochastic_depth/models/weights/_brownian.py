"""Weights that are a random walk over depth."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..._checks import count
from ._process import WeightProcess


@dataclass(frozen=True, repr=False)
class Brownian(WeightProcess):
    """A Brownian path over depth, divided by its standard deviation in every layer.

        w_l = B(l) / sqrt(l),   E w_l w_m = sqrt( min(l, m) / max(l, m) )

    Continuous in l/L but not smooth: Hoelder exponent 1/2. Not to be confused with the
    increments of a Brownian motion, which are `gaussian`.

    Example:
        >>> from stochastic_depth.models import weights
        >>> weights.brownian().covariance(4)[0]
        tensor([1.0000, 0.7071, 0.5774, 0.5000], dtype=torch.float64)
    """

    def covariance(self, depth: int) -> Tensor:
        time = torch.arange(1, count("depth", depth) + 1, dtype=torch.float64, device="cpu")
        return (torch.minimum(time[:, None], time) / torch.maximum(time[:, None], time)).sqrt()

    def _draw(self, values: Tensor, generator: Generator | None) -> None:
        values.normal_(generator=generator)
        torch.cumsum(values, dim=0, out=values)
        time = torch.arange(1, len(values) + 1, dtype=values.dtype, device=values.device)
        values /= time.sqrt()[:, None]
