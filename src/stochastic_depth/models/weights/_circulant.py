"""Exact sampling of stationary Gaussian sequences by circulant embedding."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..._errors import Unsupported

# Values in flight at a time: they should stay in the cache.
CHUNK = 1 << 19


def fill_stationary(
    values: Float[Tensor, "L entries"],
    autocovariance: Float[Tensor, " n"],
    generator: Generator | None,
) -> None:
    """Fill each column with an independent draw of a stationary Gaussian sequence.

    The covariance of L values is a corner of the circulant matrix C with first row
    (g_0, ..., g_n, g_{n-1}, ..., g_1), n >= L. C^{1/2} is a filter: white noise times the
    square roots of the eigenvalues, in the frequency domain, has covariance exactly C.

    Args:
        values: filled in place; L <= n.
        autocovariance: g_0..g_n, float64.
        generator: a CPU generator, or None for the global one.

    Raises:
        Unsupported: C is not positive semi-definite.

    References:
        Davies & Harte 1987; Dietrich & Newsam 1997.
    """
    filter_ = _square_root(autocovariance).to(values.dtype)
    period = 2 * (len(autocovariance) - 1)
    for columns in values.split(max(1, CHUNK // period), dim=1):
        noise = values.new_empty(columns.shape[1], period)
        noise.normal_(generator=generator)
        paths = torch.fft.irfft(torch.fft.rfft(noise) * filter_, n=period)
        columns.copy_(paths[:, : len(values)].T)


def _square_root(autocovariance: Tensor) -> Tensor:
    """Return the square roots of the eigenvalues of C at the non-negative frequencies."""
    first_row = torch.cat([autocovariance, autocovariance[1:-1].flip(0)])
    eigenvalues = torch.fft.rfft(first_row).real
    lowest, highest = float(eigenvalues.min()), float(eigenvalues.max())
    if lowest < -1e-9 * highest:
        raise Unsupported(
            f"this autocovariance has no circulant embedding of period {len(first_row)}: "
            f"the lowest eigenvalue is {lowest:.3g}. Return a larger `reach`."
        )
    return eigenvalues.clamp(min=0).sqrt()
