"""Two inputs of one wide and deep network with gates: how their norms and correlation flow."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail, interval, one_of, positive
from .._errors import Unsupported
from ..gates import Bernoulli, Deterministic, Law


class WideLimit(NamedTuple):
    """States of two inputs of equal norm after 0, ..., L blocks, in the limit of width.

    Attributes:
        growth: q_aa(l) / q_aa(0), shape (L+1,), float64; q_aa is the mean square of a state.
        correlation: q_ab(l) / q_aa(l), in [-1, 1], shape (L+1,), float64.
    """

    growth: Float[Tensor, " L+1"]
    correlation: Float[Tensor, " L+1"]


def wide_limit(
    correlation: float,
    law: Law,
    *,
    scale: float | None = None,
    per: Literal["batch", "sample"] = "batch",
) -> WideLimit:
    """Return how two inputs move through a wide residual ReLU network with gates.

        q_aa(l) = q_aa(l-1) (1 + a^2 E[d_l^2] / 2)
        q_ab(l) = q_ab(l-1) + a^2 E[d_l d'_l] f(c) q_aa(l-1) / 2,   c = q_ab / q_aa,
        f(c) = ( c (pi - arccos c) + sqrt(1 - c^2) ) / pi

    d and d' are the gates of the two inputs: the same draw per batch, E[d d'] = E[d^2], and
    independent draws per sample, E[d d'] = E[d]^2. At a = 1/sqrt(L) and gates in {0, 1/p} this is,
    as L grows, a flow over t in [0, 1]:

        q_aa' = q_aa / (2p),    q_ab' = f(c) q_aa / (2p) per batch,   f(c) q_aa / 2 per sample

    So norms grow by e^{1/(2p)} either way, and correlations do not agree: per batch every pair
    becomes more alike, c' = (f(c) - c) / (2p), while per sample even two copies of one input
    are driven apart, to the correlation at which f(c) = c/p.

    Networks whose branch is W ReLU(h) or V ReLU(W h), with independent weights of mean 0 and
    variance 1/width, have this limit. q_aa is exact in the mean at every width; q_ab is the limit
    of width, and its mean over gates up to a term of order 1/L.

    Args:
        correlation: c of the two inputs, in [-1, 1].
        law: independent gates of L blocks.
        scale: a, positive; 1/sqrt(L) by default.
        per: whether the samples of a batch share their gates.

    Raises:
        InvalidArgument: an argument out of range.
        Unsupported: gates that depend on each other.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli(sd.schedules.uniform(0.5)(1000))
        >>> for per in ("batch", "sample"):
        ...     growth, correlation = sd.theory.wide_limit(0.3, law, per=per)
        ...     print(f"{growth[-1]:.3f} {correlation[-1]:.3f}")
        2.717 0.452
        2.717 0.258

    References:
        Hayou & Yang 2023, Width and Depth Limits Commute in Residual Networks, for the flow
        without gates; with gates it is derived here.
    """
    c = interval("correlation", correlation, -1.0, 1.0)
    shared = one_of("per", per, ("batch", "sample")) == "batch"
    if not isinstance(law, Bernoulli | Deterministic):
        raise Unsupported(f"the limit is known for independent gates; {law} has dependent ones.")
    if len(law) == 0:
        raise fail("law", "of at least one gate", len(law))
    factor = 1 / len(law) if scale is None else positive("scale", scale) ** 2
    alone = factor / 2 * (law.variance + law.mean**2).double()
    together = alone if shared else factor / 2 * law.mean.double() ** 2
    correlations = [c]
    for own, common in zip(alone.tolist(), together.tolist(), strict=True):
        c = min((c + common * _kernel(c)) / (1 + own), 1.0)
        correlations.append(c)
    growth = torch.cat([alone.new_ones(1), (1 + alone).cumprod(0)])
    return WideLimit(growth, torch.tensor(correlations, dtype=torch.float64))


def _kernel(c: float) -> float:
    """Return E[ReLU(u) ReLU(v)] / E[ReLU(u)^2] of Gaussians of correlation c (Cho & Saul 2009)."""
    return (c * (math.pi - math.acos(c)) + math.sqrt(1 - c * c)) / math.pi
