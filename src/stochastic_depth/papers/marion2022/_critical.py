"""The critical exponent, from how the relative change depends on depth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ... import gates, theory
from ...models import weights
from ._map import Networks, change_by_beta, crossing
from ._networks import SURROUNDINGS


@dataclass(frozen=True)
class Sizes:
    """Networks of several depths, drawn independently."""

    depths: tuple[int, ...] = (250, 1000, 4000)
    width: int = 20
    draws: int = 40
    inputs: int = 4


@dataclass(frozen=True)
class Survival:
    """One survival probability for all blocks; an independent draw for each network."""

    p: float
    rescale: gates.Rescale

    def law(self, depth: int) -> gates.Bernoulli:
        """Return the law of the gates of `depth` blocks."""
        return gates.Bernoulli([self.p] * depth, rescale=self.rescale)

    def __str__(self) -> str:
        gate = "0 or 1" if self.rescale == "test" else f"0 or {1 / self.p:g}"
        return f"survival {self.p:g}, gates {gate}"


def critical_beta(
    hurst: float,
    betas: Sequence[float],
    sizes: Sizes,
    seed: int,
    survival: Survival | None = None,
) -> theory.Slope | None:
    """Return the beta at which the relative change does not depend on depth.

    The exponent of depth is fitted at every beta; it falls by 1 per unit of beta, so that
    its standard error is that of the place where it crosses 0. None if it does not.
    """
    exponents = _exponents(hurst, betas, sizes, seed, survival)
    found = crossing(betas, [exponent.value for exponent in exponents])
    if found is None:
        return None
    nearest = min(range(len(betas)), key=lambda index: abs(betas[index] - found))
    return theory.Slope(found, exponents[nearest].standard_error)


def _exponents(
    hurst: float, betas: Sequence[float], sizes: Sizes, seed: int, survival: Survival | None
) -> list[theory.Slope]:
    means, errors = [], []
    for index, depth in enumerate(sizes.depths):
        log10 = _change(hurst, betas, sizes, seed * len(sizes.depths) + index, survival, depth)
        means.append(log10.mean(0))
        errors.append(log10.std(0) / math.sqrt(sizes.draws))
    places = [math.log10(depth) for depth in sizes.depths]
    return [
        theory.fit_slope(places, [float(m[b]) for m in means], [float(e[b]) for e in errors])
        if all(mean[b].isfinite() for mean in means)
        else theory.Slope(math.inf, 0.0)  # an overflow: explosion
        for b in range(len(betas))
    ]


def _change(
    hurst: float,
    betas: Sequence[float],
    sizes: Sizes,
    seed: int,
    survival: Survival | None,
    depth: int,
) -> Tensor:
    """Return log10 of the change, averaged over inputs: (draws, betas)."""
    networks = Networks(depth, sizes.width, sizes.draws, sizes.inputs)
    drawn = masks(survival, depth, sizes.draws, seed)
    return change_by_beta(weights.fractional(hurst), betas, networks, seed, drawn).log10.mean(2)


def first_order_exponent(hurst: float, sizes: Sizes, survival: Survival | None = None) -> float:
    """Return the exponent in these depths of the change to first order, at beta = 0.

    It tends to max(1/2, H) as depths grow; at finite depth it is what to expect in its place.
    """
    process = weights.fractional(hurst)
    logs = [
        theory.first_order_change(
            1.0, process.covariance(depth), survival.law(depth) if survival else None
        )
        for depth in sizes.depths
    ]
    places = [math.log10(depth) for depth in sizes.depths]
    exact = [0.0] * len(places)
    return theory.fit_slope(places, [math.log10(x) / 2 for x in logs], exact).value


def masks(survival: Survival | None, depth: int, draws: int, seed: int) -> Tensor | None:
    """Return gates (L, draws), or None for all ones."""
    if survival is None:
        return None
    return survival.law(depth).sample(draws, generator=gates.stream(seed, SURROUNDINGS + 1))
