"""The change of hidden states to first order in the scaling, for weights of any regularity."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail, positive
from ..gates import Law


def first_order_change(
    scale: float, covariance: Float[Tensor, "L L"], law: Law | None = None
) -> float:
    """Return E||h_L - h_0||^2 / ||h_0||^2 of res-3 to first order in the branches.

        a^2 sum_{l,m} C_lm k(C_lm) E d_l d_m,
        k(r) = ( sqrt(1 - r^2) + r (pi - arccos r) ) / (2 pi)

    It is exact, at every width, for branches that all see h_0 in place of h_{l-1}, ReLU and
    Gaussian weights of variance 1/width: the change above the critical exponent, where it
    is small. For fractional weights it grows with an exponent in L that approaches
    2 max(1/2, H) - 2 beta slowly, and under masks more slowly: at depths that are trained,
    this tells how far.

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
