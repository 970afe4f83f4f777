"""Networks scaled by depth at initialisation, in closed form.

Independent weights of variance 1/width, ReLU, res-3: given h_{l-1}, the branch V ReLU(W h)
has mean 0 and mean square ||h||^2/2, so norms grow by 1 + a^2 E d^2/2 per layer. To first
order in the branches the same is known for weights of any regularity over depth.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import LogNormal

from .._checks import count, fail, interval, positive
from .._errors import Unsupported
from ..gates import Bernoulli, Deterministic, Law

Regime = Literal["explosion", "stable", "identity"]


def log_norm_growth(scale: float, depth: int, law: Law | None = None) -> float:
    """Return log( E||h_L||^2 / ||h_0||^2 ) of a res-3 network with independent weights.

        sum_l log( 1 + a^2 E d_l^2 / 2 )

    Exact at every width and depth for ReLU and weights that are symmetric about 0 with
    variance 1/width; for res-1 it is the limit of large width, from a symmetric h_0. Masks
    enter only through E d^2: p for gates in {0, 1}, 1/p for gates in {0, 1/p}.

    Args:
        scale: a, positive.
        depth: L, at least 1.
        law: independent gates of L blocks; None is all ones.

    Returns:
        A finite number, even where the growth itself would overflow.

    Raises:
        InvalidArgument: an argument out of range, a law of another length.
        Unsupported: gates that depend on each other.

    Example:
        >>> import math, stochastic_depth as sd
        >>> math.exp(sd.theory.log_norm_growth(1 / math.sqrt(1000), depth=1000))
        1.648...

    References:
        The setting is Marion et al. 2022, section 2; the formula is derived here.
    """
    growth = positive("scale", scale) ** 2 / 2
    if law is None:
        return count("depth", depth) * math.log1p(growth)
    if len(law) != count("depth", depth):
        raise fail("law", f"of {depth} gates", len(law))
    if not isinstance(law, Bernoulli | Deterministic):
        raise Unsupported(f"the closed form is for independent gates; {law} has dependent ones.")
    return float(torch.log1p(growth * (law.variance + law.mean**2)).sum())


def expected_change(scale: float, depth: int, law: Law | None = None) -> float:
    """Return E||h_L - h_0||^2 / ||h_0||^2 of a res-3 network with independent weights.

        prod_l ( 1 + a^2 E d_l^2 / 2 ) - 1

    Under a = L^-beta and without masks it goes to 0 for beta > 1/2, to e^{1/2} - 1 for
    beta = 1/2, and to infinity for beta < 1/2. The gradients of the loss in h_0 and h_L
    obey the same law, if gradients from above are assumed independent of the weights they
    meet.

    Args:
        scale: a, positive.
        depth: L, at least 1.
        law: independent gates of L blocks; None is all ones.

    Returns:
        A non-negative number; infinity where it exceeds the range of a float.

    Raises:
        InvalidArgument: an argument out of range, a law of another length.
        Unsupported: gates that depend on each other.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli(sd.schedules.uniform(0.7)(1000), rescale="test")
        >>> for gates in (None, law):
        ...     print(f"{sd.theory.expected_change(1000**-0.5, 1000, gates):.3f}")
        0.649
        0.419

    References:
        The setting is Marion et al. 2022, section 2; the formula is derived here.
    """
    return float(torch.tensor(log_norm_growth(scale, depth, law), dtype=torch.float64).expm1())


def limit_law(width: int, second_moment: float = 1.0) -> LogNormal:
    """Return the law of ||H_1||^2 / ||H_0||^2 in the limit of depth, at beta = 1/2.

    With independent weights a res-3 network tends to dH = ||H|| sqrt(q/(2 width)) dB, so
    the squared norm is a geometric Brownian motion:

        log ~ N( q/2 - q/width, 2 q/width ),   mean e^{q/2}

    Args:
        width: length of H, at least 1.
        second_moment: q, the average of E d_l^2 over depth: 1 without masks, p for gates
            in {0, 1}, 1/p for gates in {0, 1/p}; positive.

    Raises:
        InvalidArgument: an argument out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.theory.limit_law(width=100).mean
        tensor(1.6487, dtype=torch.float64)

    References:
        Marion et al. 2022, section 3 (the limit is a stochastic differential equation); its
        solution for res-3 is derived here.
    """
    q, width = positive("second_moment", second_moment), count("width", width)
    location = torch.tensor(q / 2 - q / width, dtype=torch.float64)
    return LogNormal(location, torch.tensor(math.sqrt(2 * q / width), dtype=torch.float64))


def critical_exponent(hurst: float = 0.5) -> float:
    """Return the beta below which networks explode and above which they are the identity.

        max(1/2, H)

    The sum of L fractional increments has size L^H, so first-order terms of the network
    have size L^{H - beta}; the mean square grows by L a^2 = L^{1 - 2 beta} whatever H.
    Masks that are independent of the weights do not move it, because they rescale both terms.

    Args:
        hurst: H in (0, 1]: 1/2 for independent layers, 1 for weights smooth in depth.

    Raises:
        InvalidArgument: H outside (0, 1].

    Example:
        >>> import stochastic_depth as sd
        >>> [sd.theory.critical_exponent(h) for h in (0.2, 0.5, 0.8, 1.0)]
        [0.5, 0.5, 0.8, 1.0]

    References:
        Marion et al. 2022 show the frontier; this expression for it is derived here.
    """
    if interval("hurst", hurst, 0.0, 1.0) == 0:
        raise fail("hurst", "positive", "0")
    return max(0.5, float(hurst))


def regime(beta: float, hurst: float = 0.5) -> Regime:
    """Return what a = L^-beta leads to as L grows: explosion, stable or identity.

    Args:
        beta: a finite exponent.
        hurst: H of the weights in (0, 1], see `critical_exponent`.

    Raises:
        InvalidArgument: `beta` not finite, H outside (0, 1].

    Example:
        >>> import stochastic_depth as sd
        >>> sd.theory.regime(0.25), sd.theory.regime(0.5), sd.theory.regime(0.5, hurst=0.8)
        ('explosion', 'stable', 'explosion')
    """
    if not math.isfinite(beta):
        raise fail("beta", "finite", f"{beta:g}", "The branches are scaled by L^-beta.")
    critical = critical_exponent(hurst)
    if beta == critical:
        return "stable"
    return "explosion" if beta < critical else "identity"


def first_order_change(
    scale: float, covariance: Float[Tensor, "L L"], law: Law | None = None
) -> float:
    """Return E||h_L - h_0||^2 / ||h_0||^2 of res-3 to first order in the branches.

        a^2 sum_{l,m} C_lm k(C_lm) E d_l d_m,
        k(r) = ( sqrt(1 - r^2) + r (pi - arccos r) ) / (2 pi)

    It is exact, at every width, for branches that all see h_0 in place of h_{l-1}, ReLU and
    Gaussian weights of variance 1/width: the change above the critical exponent, where it
    is small. For fractional weights it grows with an exponent in L that approaches
    2 max(1/2, H) - 2 beta slowly, and under masks more slowly; this formula tells how far at
    the depths that are trained.

    Args:
        scale: a, positive.
        covariance: C, of one weight over depth, such as `process.covariance(depth)`; ones
            on the diagonal.
        law: of the gates; None is all ones.

    Raises:
        InvalidArgument: `scale` not positive, C not square or without ones on its
            diagonal, a law of another length.

    Example:
        >>> import stochastic_depth as sd
        >>> from stochastic_depth.models import weights
        >>> covariance = weights.fractional(0.8).covariance(1000)
        >>> f"{sd.theory.first_order_change(1000**-1.0, covariance):.3f}"
        '0.012'

    References:
        Cho & Saul 2009, equation 6, for k; the sum is derived here.
    """
    depth = len(covariance)
    if covariance.shape != (depth, depth) or not torch.allclose(
        covariance.diagonal(), covariance.new_ones(depth)
    ):
        raise fail("covariance", "a square matrix with ones on its diagonal", covariance.shape)
    if law is not None and len(law) != depth:
        raise fail("law", f"of {depth} gates", len(law))
    r = covariance.double().clamp(-1, 1)
    products = r * ((1 - r**2).sqrt() + r * (math.pi - r.arccos())) / (2 * math.pi)
    if law is not None:
        products = products * (law.covariance + torch.outer(law.mean, law.mean))
    return positive("scale", scale) ** 2 * float(products.sum())
