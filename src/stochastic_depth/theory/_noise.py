"""The noise of random gates in a deep network, and tests of whether it is Gaussian."""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail, one_of
from ..gates import Law


def noise(
    zeta: Float[Tensor, "L N outputs"], gates: Float[Tensor, "L M"], law: Law
) -> Float[Tensor, "M N outputs"]:
    """Return the noise of given gates on the outputs, to first order.

        gamma = sum_l (d_l - E d_l) zeta_l,   f(x; d) ~ f(x; E d) + gamma

    f may be any neuron. For the noise at layer alpha L, let f stop there: later blocks have
    zeta_l = 0.

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


Test = Literal["shapiro", "anderson", "dagostino"]
Correction = Literal["holm", "benjamini-hochberg"]

FEWEST = 20
"""Fewest draws per test: with fewer, D'Agostino's kurtosis is far from its distribution."""


class Normality(NamedTuple):
    """Statistics and p-values of many tests.

    Attributes:
        statistic: of each test, float64.
        p_value: probability of a statistic at least as extreme if the draws are Gaussian.
    """

    statistic: Float[Tensor, " *tests"]
    p_value: Float[Tensor, " *tests"]


def normality(draws: Float[Tensor, "M *tests"], test: Test = "shapiro") -> Normality:
    """Test, for each column, whether M draws come from some normal distribution.

    Args:
        draws: M independent draws, at least 20; further dimensions are tests.
        test: `"shapiro"` (Shapiro & Wilk), `"anderson"` (Anderson & Darling, mean and
            variance estimated) or `"dagostino"` (D'Agostino & Pearson).

    Returns:
        Statistics and p-values, of the shape of one draw.

    Raises:
        InvalidArgument: too few draws, a column that is constant, or an unknown test.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> draws = torch.randn(200, 5, generator=sd.gates.stream(0, 0))
        >>> sd.theory.normality(draws).p_value.shape
        torch.Size([5])

    References:
        Hayou & Ayed 2021, section 6 and figure 5, with 200 masks per test. The p-value of
        the Anderson-Darling statistic is the approximation of D'Agostino & Stephens 1986,
        Goodness-of-fit techniques, table 4.9.
    """
    one_of("test", test, get_args(Test))
    if len(draws) < FEWEST:
        raise fail("draws", f"at least {FEWEST} per test", len(draws), "Draw more masks.")
    values = draws.detach().double().cpu()
    # Equal numbers may differ in the last digits if they were summed in another order.
    constant = values.std(0) <= 1e-6 * values.abs().amax(0)
    if constant.any():
        remedy = "Leave out columns that no random gate reaches."
        raise fail("draws", "different from each other", "a constant column", remedy)
    return Normality(*_run(values, test))


def adjust(p_values: Float[Tensor, " *tests"], correction: Correction = "holm") -> Tensor:
    """Return p-values corrected for multiple testing.

    Args:
        p_values: of all the tests made, any shape.
        correction: `"holm"`: rejecting below alpha, the chance of any false rejection is
            at most alpha. `"benjamini-hochberg"`: at most a share alpha of the rejections
            is false on average, for independent or positively dependent tests.

    Returns:
        Corrected p-values, same shape.

    Raises:
        InvalidArgument: an unknown correction.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> sd.theory.adjust(torch.tensor([0.01, 0.04, 0.03]))
        tensor([0.0300, 0.0600, 0.0600])

    References:
        Holm 1979, Scandinavian Journal of Statistics 6; Benjamini & Hochberg 1995, Journal
        of the Royal Statistical Society B 57.
    """
    one_of("correction", correction, get_args(Correction))
    flat = p_values.flatten()
    order = flat.argsort()
    rank = torch.arange(len(flat), dtype=flat.dtype, device=flat.device)
    if correction == "holm":
        # A corrected p-value is never below that of a smaller one.
        sorted_adjusted = (flat[order] * (len(flat) - rank)).cummax(0).values
    else:
        scaled = flat[order] * len(flat) / (rank + 1)
        sorted_adjusted = scaled.flip(0).cummin(0).values.flip(0)
    adjusted = torch.empty_like(flat)
    adjusted[order] = sorted_adjusted.clamp(max=1)
    return adjusted.reshape(p_values.shape)


def _run(values: Tensor, test: Test) -> tuple[Tensor, Tensor]:
    if test == "anderson":
        return _anderson_darling(values)
    from scipy import stats  # heavy, and needed only here

    run = stats.shapiro if test == "shapiro" else stats.normaltest
    result = run(values.numpy(), axis=0)
    return torch.as_tensor(result.statistic), torch.as_tensor(result.pvalue)


def _anderson_darling(values: Tensor) -> tuple[Tensor, Tensor]:
    n = len(values)
    ordered = ((values - values.mean(0)) / values.std(0)).sort(dim=0).values
    odd = (2 * torch.arange(1, n + 1) - 1).reshape(-1, *[1] * (values.ndim - 1))
    # The normal distribution function itself would round to 0 or 1 in the tails.
    tails = torch.special.log_ndtr(ordered) + torch.special.log_ndtr(-ordered.flip(0))
    statistic = -n - (odd * tails).sum(0) / n
    return statistic, _anderson_darling_p(statistic * (1 + 0.75 / n + 2.25 / n**2))


def _anderson_darling_p(a: Tensor) -> Tensor:
    """Return the p-value of the statistic corrected for n (D'Agostino & Stephens, table 4.9)."""
    capped = a.clamp(max=100)  # beyond, where p is 0 anyway, the last quadratic turns upwards
    p = (1.2937 - 5.709 * capped + 0.0186 * capped**2).exp()
    p = torch.where(a < 0.6, (0.9177 - 4.279 * a - 1.38 * a**2).exp(), p)
    p = torch.where(a < 0.34, 1 - (-8.318 + 42.796 * a - 59.938 * a**2).exp(), p)
    return torch.where(a < 0.2, 1 - (-13.436 + 101.14 * a - 223.73 * a**2).exp(), p)
