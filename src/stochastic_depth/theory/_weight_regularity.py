"""How regular weights are as a function of depth, before or after training."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail
from ._estimates import Slope, fit_slope

Weights = Float[Tensor, "L *shape"]

GROUPS = 10
"""Groups of entries whose scatter gives the standard error."""


def hurst_exponent(weights: Weights) -> Slope:
    """Estimate the Hurst exponent of weights taken as increments over depth.

        E( w_{l+1} + ... + w_{l+m} )^2 ~ m^{2H}

    Independent layers have H = 1/2, one matrix in every layer H = 1, layers that cancel
    H < 1/2. The critical exponent of the scaling is max(1/2, H).

    Args:
        weights: L layers, at least 16, of at least two entries.

    Returns:
        H, from a line through lags 1, 2, 4, ... up to L/8; the standard error is over ten
        groups of entries and assumes independent entries.

    Raises:
        InvalidArgument: too few layers or entries, values not finite.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> from stochastic_depth.models import weights
        >>> noise = weights.fractional(0.8).sample(
        ...     1000, (30, 30), generator=torch.Generator().manual_seed(0)
        ... )
        >>> abs(sd.theory.hurst_exponent(noise).value - 0.8) < 0.02
        True
    """
    entries = _entries(weights)
    start = torch.zeros(1, entries.shape[1], dtype=entries.dtype)
    return _path_exponent(torch.cat([start, entries.cumsum(0)]))


def holder_exponent(weights: Weights) -> Slope:
    """Estimate the Hoelder exponent of weights taken as a path over depth.

        E( w_{l+m} - w_l )^2 ~ m^{2h}

    Independent layers have h = 0, a random walk h = 1/2, smooth weights h = 1.

    Args:
        weights: L layers, at least 16, of at least two entries.

    Returns:
        h, estimated as in `hurst_exponent`.

    Raises:
        InvalidArgument: too few layers or entries, values not finite, all layers equal.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> from stochastic_depth.models import weights
        >>> path = weights.smooth(0.1).sample(
        ...     1000, (30, 30), generator=torch.Generator().manual_seed(0)
        ... )
        >>> sd.theory.holder_exponent(path).value > 0.9
        True
    """
    return _path_exponent(_entries(weights))


def total_variation(weights: Weights) -> float:
    """Return the length of the weights' path over depth, relative to their size.

        sum_l ||w_{l+1} - w_l|| / ( sum_l ||w_l||^2 / L )^{1/2}

    Bounded in L for smooth weights, of order sqrt(L) for a random walk, and
    sqrt(2) (L - 1) for independent layers.

    Args:
        weights: L layers, at least 2.

    Raises:
        InvalidArgument: fewer than two layers, values not finite, or all zero.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> sd.theory.total_variation(torch.tensor([[1.0], [-1.0], [1.0]]))
        4.0
    """
    entries = _entries(weights, least=2, columns=1)
    size = entries.square().sum(1).mean().sqrt()
    if size == 0:
        raise fail("weights", "not all zero", "zeros")
    return float(entries.diff(dim=0).norm(dim=1).sum() / size)


def _path_exponent(path: Tensor) -> Slope:
    """Return half the slope of log E(path_{l+m} - path_l)^2 in log m."""
    lags = [2**k for k in range(int(math.log2(len(path) / 8)) + 1)]
    squares = torch.stack([(path[lag:] - path[:-lag]).square().mean(0) for lag in lags])
    if (squares.mean(1) == 0).any():
        raise fail("weights", "different in some layers", "the same everywhere")
    places = [math.log(lag) for lag in lags]
    exact = [0.0] * len(lags)
    whole = fit_slope(places, squares.mean(1).log().tolist(), exact).value / 2
    parts = torch.tensor(
        [
            fit_slope(places, group.mean(1).log().tolist(), exact).value / 2
            for group in squares.tensor_split(min(GROUPS, squares.shape[1]), dim=1)
        ]
    )
    return Slope(whole, float(parts.std()) / math.sqrt(len(parts)))


def _entries(weights: Tensor, least: int = 16, columns: int = 2) -> Tensor:
    if weights.ndim < 1 or len(weights) < least:
        raise fail("weights", f"of at least {least} layers", f"shape {tuple(weights.shape)}")
    entries = weights.detach().double().reshape(len(weights), -1)
    if entries.shape[1] < columns:
        raise fail("weights", f"of at least {columns} entries per layer", entries.shape[1])
    if not entries.isfinite().all():
        raise fail("weights", "finite", "NaN or infinity")
    return entries
