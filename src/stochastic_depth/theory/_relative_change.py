"""How much hidden states or gradients change along a network, and what follows as it deepens."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._checks import count, fail, positive
from ._estimates import Slope, fit_slope
from ._scaling_limits import Regime


@dataclass(frozen=True)
class RelativeChange:
    """The change of a vector along a network, relative to its start.

    Attributes:
        log10: log10( ||h_L - h_0|| / ||h_0|| ), float64; infinity after an overflow, never
            NaN.
        overflow: the first layer whose output was not finite; 0 if there is none.
    """

    log10: Float[Tensor, "*batch"]
    overflow: Int[Tensor, "*batch"]

    @property
    def ratio(self) -> Float[Tensor, "*batch"]:
        """||h_L - h_0|| / ||h_0||."""
        return 10**self.log10


def relative_change(states: Iterable[Float[Tensor, "*batch width"]]) -> RelativeChange:
    """Measure ||h_L - h_0|| / ||h_0||, and where numbers overflowed.

    Args:
        states: h_0, ..., h_L, consumed one at a time. For gradients pass them in the order
            in which they are computed: from p_L to p_0.

    Raises:
        InvalidArgument: no states, or an h_0 that is zero or not finite.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> start = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
        >>> change = sd.theory.relative_change([start, start * 11, start * float("inf")])
        >>> change.log10, change.overflow
        (tensor([inf, inf], dtype=torch.float64), tensor([2, 2]))

    References:
        Marion et al. 2022, the quantity of their figures 1, 3, 4, 5 and 7.
    """
    iterator = iter(states)
    first = last = _start(next(iterator, None))
    overflow = torch.zeros(first.shape[:-1], dtype=torch.long)
    for layer, last in enumerate(iterator, start=1):
        finite = last.isfinite().all(-1)
        overflow = torch.where(finite | (overflow > 0), overflow, layer)
    # float64: the square of a large float32 norm would overflow.
    change, size = ((x.detach().double()).norm(dim=-1) for x in (last - first, first))
    log10 = torch.where(overflow > 0, torch.inf, (change / size).log10())
    return RelativeChange(log10, overflow)


def _start(first: Tensor | None) -> Tensor:
    if first is None:
        raise fail("states", "at least h_0", "none")
    if not first.isfinite().all() or (first == 0).all(-1).any():
        raise fail("h_0", "finite and not zero", "a vector that is not", "Check the input map.")
    return first


@dataclass(frozen=True)
class Classification:
    """What a family of networks does as its depth grows.

    Attributes:
        verdict: explosion, stable or identity; undecided if the exponent is too uncertain.
        exponent: s in ||h_L - h_0|| / ||h_0|| ~ L^s; None after an overflow, and if nothing
            changes at all.
        overflow: (depth of the network, layer) where numbers first overflowed; None if
            they did not.
    """

    verdict: Regime | Literal["undecided"]
    exponent: Slope | None
    overflow: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.overflow is not None:
            depth, layer = self.overflow
            return f"{self.verdict}: overflow in layer {layer} of the network of depth {depth}"
        if self.exponent is None:
            return f"{self.verdict}: the branches contribute nothing"
        return f"{self.verdict}: the relative change grows as L^s, s = {self.exponent}"


def classify(
    change: Callable[[int], RelativeChange], depths: Iterable[int], *, margin: float = 0.1
) -> Classification:
    """Classify networks by how their relative change depends on depth.

    The exponent is the slope of the mean of log10( ||h_L - h_0|| / ||h_0|| ) in log10 L,
    with a confidence interval from the spread over repetitions. The networks are called
    stable if the interval lies within `margin` of 0, an explosion if it lies above, the
    identity if it lies below, or if some network changes nothing at all.

    Args:
        change: measures a network of a given depth, from `relative_change`; repetitions
            with independent weights on the first axis, at least two, further axes are
            averaged over.
        depths: at least two different ones; a factor of ten between the ends is sensible.
        margin: how far from 0 an exponent still counts as stable; positive.

    Raises:
        InvalidArgument: too few depths or repetitions, `margin` not positive.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> from stochastic_depth.models import depth_scale, scaled_states, weights
        >>> def change(depth: int) -> sd.theory.RelativeChange:
        ...     layers = weights.draw(weights.gaussian(), depth, width=20, networks=50)
        ...     start = torch.ones(50, 1, 20)
        ...     return sd.theory.relative_change(
        ...         scaled_states(start, layers, depth_scale(1.0, depth))
        ...     )
        >>> sd.theory.classify(change, depths=[10, 30, 100]).verdict
        'identity'

    References:
        Marion et al. 2022, section 2: the three regimes.
    """
    positive("margin", margin)
    places, means, errors = [], [], []
    for depth in depths:
        measured = change(count("depths", depth))
        if (measured.overflow > 0).any():
            layer = int(measured.overflow[measured.overflow > 0].min())
            return Classification("explosion", None, (depth, layer))
        if (measured.log10 == -math.inf).any():
            return Classification("identity", None)
        mean, error = _mean_and_error(measured)
        places.append(math.log10(depth))
        means.append(mean)
        errors.append(error)
    exponent = fit_slope(places, means, errors)
    return Classification(_verdict(exponent, margin), exponent)


def _mean_and_error(measured: RelativeChange) -> tuple[float, float]:
    log10 = measured.log10.flatten(1).mean(1) if measured.log10.ndim > 1 else measured.log10
    if log10.ndim == 0 or len(log10) < 2:
        raise fail("change", "measured on at least two repetitions", log10.numel())
    return float(log10.mean()), float(log10.std()) / math.sqrt(len(log10))


def _verdict(exponent: Slope, margin: float) -> Regime | Literal["undecided"]:
    if exponent.low > margin:
        return "explosion"
    if exponent.high < -margin:
        return "identity"
    return "stable" if -margin <= exponent.low and exponent.high <= margin else "undecided"
