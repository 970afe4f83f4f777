"""The noise that random gates amount to in a deep network."""

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail
from ..gates import Law


def noise(
    zeta: Float[Tensor, "L N outputs"], gates: Float[Tensor, "L M"], law: Law
) -> Float[Tensor, "M N outputs"]:
    """Return the noise of given gates on the outputs, to first order.

        gamma = sum_l (d_l - E d_l) zeta_l,   f(x; d) ~ f(x; E d) + gamma

    f may be any neuron: for the noise at layer alpha L let f stop there; blocks behind it
    have zeta_l = 0.

    Args:
        zeta: discrepancies of f, see `discrepancies`.
        gates: M gate vectors, shape (L, M).
        law: their law.

    Returns:
        Tensor of shape (M, N, outputs).

    References:
        Hayou & Ayed 2021, equation 7: gamma_{alpha,L}, with 1/sqrt(L) inside our zeta.
    """
    centred = gates.to(zeta) - law.mean.to(zeta)[:, None]
    return torch.einsum("lm,lno->mno", centred, zeta)


def noise_variance(zeta: Float[Tensor, "L N outputs"], law: Law) -> Float[Tensor, "N outputs"]:
    """Return the variance of `noise`.

        Var gamma = sum_lk Cov(d_l, d_k) zeta_l zeta_k   (independent: sum_l Var(d_l) zeta_l^2)

    Args:
        zeta: discrepancies of f, see `discrepancies`.
        law: law of the gates.

    Returns:
        Tensor of shape (N, outputs).

    References:
        Hayou & Ayed 2021, Theorem 2, before the limit: alpha v_{alpha,L} =
        (1/L) sum_{l <= alpha L} p_l (1 - p_l) mu_l^2, with mu_l = sqrt(L) zeta_l.
    """
    return torch.einsum("lno,lk,kno->no", zeta, law.covariance.to(zeta), zeta)


def lindeberg_ratio(zeta: Float[Tensor, "L N outputs"]) -> Float[Tensor, "N outputs"]:
    """Return the share of the largest block in the sum of squares: no block may dominate.

        max_k zeta_k^2 / sum_l zeta_l^2,   in [1/L, 1]

    It must tend to 0 with depth for the noise to become Gaussian.

    Args:
        zeta: discrepancies of f, see `discrepancies`.

    Returns:
        Tensor of shape (N, outputs).

    Raises:
        InvalidArgument: an output that no block moves.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> sd.theory.lindeberg_ratio(torch.tensor([1.0, -1.0, 2.0]).reshape(3, 1, 1))
        tensor([[0.6667]])

    References:
        Hayou & Ayed 2021, Theorem 2, assumption 2, and figure 4.
    """
    squares = zeta.square()
    total = squares.sum(0)
    if not (total > 0).all():
        raise fail("zeta", "non-zero for some block at every output", "an output of zeros")
    return squares.amax(0) / total
