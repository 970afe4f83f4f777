"""Weights whose law does not change with depth: fractional Gaussian noise, smooth processes."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..._checks import count, inside, positive
from ._circulant import fill_stationary
from ._process import WeightProcess

# Beyond this lag the three-term difference of the autocovariance loses more digits to
# cancellation than its series loses to truncation.
SERIES_LAG = 100

HURST_REMEDY = "1/2 is independent layers; for nearly constant ones pass 0.97 or use smooth."


class StationaryProcess(WeightProcess):
    """Abstract Gaussian process given by its autocovariance."""

    @abstractmethod
    def autocovariance(self, lags: Float[Tensor, " n"], depth: int) -> Float[Tensor, " n"]:
        """Return E w_l w_{l+k} for lags k >= 0 in a network of `depth` layers; 1 at lag 0."""

    def reach(self, depth: int) -> int:
        """Return the lag from which the autocovariance is exactly known to be negligible.

        The embedding wraps around at twice this lag; at least `depth`.
        """
        return depth

    def covariance(self, depth: int) -> Tensor:
        index = torch.arange(count("depth", depth), dtype=torch.float64, device="cpu")
        return self.autocovariance((index[:, None] - index).abs().flatten(), depth).view(
            depth, depth
        )

    def _draw(self, values: Tensor, generator: Generator | None) -> None:
        depth = len(values)
        lags = torch.arange(self.reach(depth) + 1, dtype=torch.float64, device="cpu")
        fill_stationary(values, self.autocovariance(lags, depth), generator)


@dataclass(frozen=True, repr=False)
class Fractional(StationaryProcess):
    """Increments of fractional Brownian motion, scaled to variance 1.

        E w_l w_{l+k} = ( |k+1|^{2H} - 2 |k|^{2H} + |k-1|^{2H} ) / 2

    H = 1/2 is independent layers; below, neighbours tend to have opposite signs, above,
    equal ones; H -> 1 is one matrix in every layer. The sum over L layers has standard
    deviation L^H.

    Args:
        hurst: Hurst exponent H, strictly between 0 and 1.

    Raises:
        InvalidArgument: `hurst` outside (0, 1).

    Example:
        >>> import torch
        >>> from stochastic_depth.models import weights
        >>> weights.fractional(0.9).autocovariance(torch.tensor([0.0, 1.0]), depth=1000)
        tensor([1.0000, 0.7411], dtype=torch.float64)

    References:
        Mandelbrot & Van Ness 1968; Marion et al. 2022, section on intermediate regimes.
        Drawn exactly at every H; the generator published with the latter paper adds an
        alternating component for H > 1/2 (its variance is 1.89 instead of 1 at H = 0.97).
    """

    hurst: float

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "hurst", inside("hurst", self.hurst, 0.0, 1.0, remedy=HURST_REMEDY)
        )

    def autocovariance(self, lags: Tensor, depth: int) -> Tensor:
        h, lags = self.hurst, lags.double()
        near, far = lags.clamp(max=SERIES_LAG), lags.clamp(min=SERIES_LAG)
        difference = ((near + 1) ** (2 * h) - 2 * near ** (2 * h) + (near - 1).abs() ** (2 * h)) / 2
        correction = 1 + (2 * h - 2) * (2 * h - 3) / 12 / far**2
        series = h * (2 * h - 1) * far ** (2 * h - 2) * correction
        return torch.where(lags <= SERIES_LAG, difference, series)


@dataclass(frozen=True, repr=False)
class Smooth(StationaryProcess):
    """Values at l/L of a smooth Gaussian process on [0, 1].

        E w_l w_{l+k} = exp( -(k/L)^2 / (2 length_scale^2) )

    Args:
        length_scale: distance, as a share of the depth, over which weights change;
            positive.

    Raises:
        InvalidArgument: `length_scale` not positive and finite.

    Example:
        >>> from stochastic_depth.models import weights
        >>> w = weights.smooth(0.1).sample(1000)
        >>> bool(w.diff().abs().max() < 0.06)
        True

    References:
        Marion et al. 2022: their smooth initialisation, with values of the process and
        length scale 0.1 (an earlier version of their code takes increments instead).
    """

    length_scale: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_scale", positive("length_scale", self.length_scale))

    def autocovariance(self, lags: Tensor, depth: int) -> Tensor:
        return torch.exp(-((lags.double() / (depth * self.length_scale)) ** 2) / 2)

    def reach(self, depth: int) -> int:
        # exp(-9^2/2) is below the rounding of float64: wrapping round there is exact.
        return max(depth, int(9 * self.length_scale * depth) + 1)
