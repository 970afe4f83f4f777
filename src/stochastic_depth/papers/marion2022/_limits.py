"""The limits of depth: an SDE for independent weights, an ODE for smooth ones, and how fast.

A network of depth L is a method of Euler with L steps for its limit.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..._checks import count, fail
from ...theory import Slope, fit_slope

Diffusion: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(H, dB) -> dH."""


def brownian_increments(
    steps: int,
    shape: Iterable[int],
    *,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "steps *shape"]:
    """Draw the increments of independent Brownian motions over `steps` equal parts of [0, 1].

    Args:
        steps: number of parts, at least 1.
        shape: one Brownian motion per entry.
        generator: a CPU generator; None for the global one.
        dtype: floating-point type.

    Returns:
        Independent normal values of variance 1/steps.

    Raises:
        InvalidArgument: `steps` below 1.

    Example:
        >>> brownian_increments(100, (5, 8, 8)).shape
        torch.Size([100, 5, 8, 8])
    """
    values = torch.empty(count("steps", steps), *shape, dtype=dtype).normal_(generator=generator)
    return values.mul_(1 / math.sqrt(steps))


def coarsened(increments: Float[Tensor, "steps *shape"], steps: int) -> Tensor:
    """Return the increments of the same Brownian motions over fewer, longer parts.

    Args:
        increments: from `brownian_increments`.
        steps: number of parts, a divisor of `len(increments)`.

    Raises:
        InvalidArgument: `steps` is not a divisor.

    Example:
        >>> coarsened(torch.tensor([1.0, 2.0, 3.0, 4.0]), steps=2)
        tensor([3., 7.])
    """
    if len(increments) % count("steps", steps):
        raise fail("steps", f"a divisor of {len(increments)}", steps)
    return increments.unflatten(0, (steps, -1)).sum(1)


def solve_sde(diffusion: Diffusion, h: Tensor, increments: Iterable[Tensor]) -> Tensor:
    """Solve dH = diffusion(H, dB) on [0, 1] by the method of Euler and Maruyama.

    Args:
        diffusion: (H, dB) -> dH, such as `res1_diffusion`.
        h: H_0.
        increments: dB for each step.

    Returns:
        H_1.

    Example:
        >>> noise = brownian_increments(100, (50, 8))
        >>> solve_sde(res3_diffusion, torch.ones(50, 8), noise).shape
        torch.Size([50, 8])

    References:
        Kloeden & Platen 1992, chapter 10: strong order 1/2, weak order 1.
    """
    for increment in increments:
        h = h + diffusion(h, increment)
    return h


def res1_diffusion(h: Float[Tensor, "*n d"], increment: Float[Tensor, "*n d d"]) -> Tensor:
    """Return dH = dB ReLU(H) / sqrt(d), the limit of res-1; B is a matrix.

    A res-1 network of depth L with Gaussian weights at beta = 1/2 is the method of Euler
    and Maruyama for this equation with L steps, its weights being sqrt(L/d) dB.
    """
    return (increment @ torch.relu(h)[..., None])[..., 0] / math.sqrt(h.shape[-1])


def res3_diffusion(h: Float[Tensor, "*n d"], increment: Float[Tensor, "*n d"]) -> Tensor:
    """Return dH = ||H|| dB / sqrt(2 d), the limit in law of res-3; B is a vector."""
    return h.norm(dim=-1, keepdim=True) * increment / math.sqrt(2 * h.shape[-1])


Field: TypeAlias = Callable[[float, Tensor], Tensor]
"""(t, H) -> dH/dt."""


def solve_ode(field: Field, h: Tensor, steps: int) -> Tensor:
    """Solve dH/dt = field(t, H) on [0, 1] by the classical Runge-Kutta method.

    Residual networks with weights smooth in depth and beta = 1 are the method of Euler for
    such an equation, of order 1; this one has order 4 and serves as their reference.

    Args:
        field: (t, H) -> dH/dt; asked at multiples of 1/(2 steps).
        h: H_0.
        steps: at least 1.

    Returns:
        H_1.

    Raises:
        InvalidArgument: `steps` below 1.

    Example:
        >>> solve_ode(lambda t, h: h, torch.ones(1, dtype=torch.float64), steps=20)
        tensor([2.7183], dtype=torch.float64)

    References:
        Marion et al. 2022, section 3: the limit for smooth weights.
    """
    step = 1 / count("steps", steps)
    for index in range(steps):
        start, middle, end = index * step, (index + 0.5) * step, (index + 1) * step
        k1 = field(start, h)
        k2 = field(middle, h + step / 2 * k1)
        k3 = field(middle, h + step / 2 * k2)
        k4 = field(end, h + step * k3)
        h = h + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return h


def convergence_order(depths: Sequence[int], errors: Sequence[Float[Tensor, " n"]]) -> Slope:
    """Return the order r of |E error| ~ L^-r, by a line through the logarithms.

    The strong order is that of the distance of a network to its limit on the same path,
    E||h_L - H_1||; the weak order is that of |E phi(h_L) - E phi(H_1)|, for which signed
    differences may be given.

    Args:
        depths: at least two different ones.
        errors: for each depth a sample of independent draws, at least two.

    Returns:
        r. Samples at different depths are taken to be independent; if all depths share
        their paths, the interval is a rough one.

    Raises:
        InvalidArgument: lengths differ, too few draws, a mean error of zero.

    Example:
        >>> errors = [torch.tensor([0.9, 1.1]) / depth for depth in (10, 100, 1000)]
        >>> f"{convergence_order([10, 100, 1000], errors).value:.2f}"
        '1.00'
    """
    if len(depths) != len(errors):
        raise fail("errors", f"{len(depths)} samples, one per depth", len(errors))
    logs, uncertainty = [], []
    for sample in errors:
        if len(sample) < 2:
            raise fail("errors", "at least two draws at each depth", len(sample))
        mean = abs(float(sample.double().mean()))
        if mean == 0:
            raise fail("errors", "different from zero on average", "0")
        logs.append(-math.log(mean))
        uncertainty.append(float(sample.double().std()) / math.sqrt(len(sample)) / mean)
    return fit_slope([math.log(depth) for depth in depths], logs, uncertainty)
