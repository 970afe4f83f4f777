"""The limit of depth for independent weights: a stochastic differential equation."""

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from .._checks import count, fail

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
        >>> import stochastic_depth as sd
        >>> sd.theory.brownian_increments(100, (5, 8, 8)).shape
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
        >>> import torch, stochastic_depth as sd
        >>> sd.theory.coarsened(torch.tensor([1.0, 2.0, 3.0, 4.0]), steps=2)
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
        >>> import torch, stochastic_depth as sd
        >>> noise = sd.theory.brownian_increments(100, (50, 8))
        >>> sd.theory.solve_sde(sd.theory.res3_diffusion, torch.ones(50, 8), noise).shape
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
