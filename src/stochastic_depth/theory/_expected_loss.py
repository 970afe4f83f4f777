"""The loss that training with random gates minimises."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from .._checks import count, fail, function, instance, one_of
from .._errors import InvalidArgument, Unsupported
from ..gates import Bernoulli, Deterministic, Law, SurvivalLaw
from ._estimates import Estimate
from ._gated_network import Loss, Network, gate_point, losses_under
from ._regularizer import Curvature, curvature, regularizer

Method = Literal["exact", "taylor", "monte_carlo"]
Around = Literal["mean", "ones"]

MOST_RANDOM_BLOCKS = 20
"""Enumerate at most 2^20 networks."""


def expected_loss(
    f: Network,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    law: Law,
    method: Method = "taylor",
    *,
    around: Around = "mean",
    part: Curvature = "gauss-newton",
    draws: int = 1000,
    generator: Generator | None = None,
) -> Estimate:
    """Return the expected loss under random gates that all samples share.

        "exact"        sum over all 2^L gate vectors of P(d) loss(f(x; d), y)
        "taylor"       loss(f(x; E d), y) + 1/2 sum_lk Cov(d_l, d_k) G_lk
        "monte_carlo"  mean over drawn gate vectors

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples; `"exact"` and `"monte_carlo"` run it under
            `torch.vmap`, `"taylor"` takes its Hessian.
        law: law of the gates, L blocks.
        method: see above. `"exact"` takes at most 20 random gates.
        around: for `"taylor"`, where G is taken: at the mean of the gates, which is the
            second-order expansion there, or at 1, as in the paper, where G is the same for
            all laws.
        part: for `"taylor"`, which part of the Hessian, see `Curvature`.
        draws: for `"monte_carlo"`, number of gate vectors, at least 2.
        generator: for `"monte_carlo"`, a CPU generator such as `gates.stream(0, 0)`.

    Returns:
        The expected loss; its standard error is 0 unless it was sampled.

    Raises:
        InvalidArgument: an argument out of range, too many random blocks to enumerate.
        Unsupported: `"exact"` for a law of your own, or what `regularizer` refuses.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=6, width=32, inputs=8, outputs=1)
        >>> x, y, mse = torch.randn(4, 8), torch.zeros(4, 1), torch.nn.functional.mse_loss
        >>> law = sd.gates.Bernoulli([0.8] * 6, rescale="test")
        >>> sd.theory.expected_loss(model, x, y, mse, law, method="exact").standard_error
        0.0
        >>> draws = {"draws": 100, "generator": sd.gates.stream(0, 0)}
        >>> sampled = sd.theory.expected_loss(model, x, y, mse, law, "monte_carlo", **draws)
        >>> sampled.standard_error > 0
        True

    The error of the expansion is of third order in the steps (d_l - E d_l) a z_l, and small
    where the branches are. It is not made small by p near 1, where third moments are as large
    as variances, nor by depth alone: with a = 1/sqrt(L) the noise keeps its variance. In a
    network of ReLUs the second derivative moreover leaves out the kinks.

    References:
        Hayou & Ayed 2021, equations 4 and 6.
    """
    one_of("method", method, get_args(Method))
    one_of("around", around, get_args(Around))
    function("loss", loss, "a function of outputs and targets")
    instance("law", law, Law, "a law of gates")
    point = gate_point(f, x, law.mean)
    losses = partial(losses_under, f, x, y, loss)
    if method == "exact":
        return _exact(losses, law, point.dtype)
    if method == "monte_carlo":
        return _monte_carlo(losses, law, count("draws", draws, least=2), generator)
    at = point if around == "mean" else torch.ones_like(point)
    average = float(losses(point[:, None]))
    return Estimate(average + 0.5 * _excess(f, x, y, loss, law, at, part), 0.0)


def _excess(
    f: Network, x: Tensor, y: Tensor, loss: Loss, law: Law, at: Tensor, part: Curvature
) -> float:
    """Return sum_lk Cov(d_l, d_k) G_lk; independent gates need only the diagonal."""
    if isinstance(law, Bernoulli | Deterministic):
        return float(law.variance @ regularizer(f, x, y, loss, at, part).double().cpu())
    return float((law.covariance * curvature(f, x, y, loss, at, part).double().cpu()).sum())


def _exact(losses: Callable[[Tensor], Tensor], law: Law, dtype: torch.dtype) -> Estimate:
    if isinstance(law, Deterministic):
        return Estimate(float(losses(law.gates[:, None].to(dtype))), 0.0)
    if not isinstance(law, SurvivalLaw):
        raise Unsupported(
            f"method='exact' must have a law that tells the probability of each gate vector; got "
            f"{law}. Use method='taylor' or 'monte_carlo'."
        )
    active, probability = _enumerate(law)
    values = losses((active * law.value[:, None]).to(dtype))
    return Estimate(float(probability @ values.double().cpu()), 0.0)


def _enumerate(law: SurvivalLaw) -> tuple[Tensor, Tensor]:
    """Return which blocks run in all draws of positive probability, (L, M), and that."""
    p = law.survival
    random = ((p > 0) & (p < 1)).nonzero()[:, 0]
    if len(random) > MOST_RANDOM_BLOCKS:
        raise InvalidArgument(
            f"law must leave at most {MOST_RANDOM_BLOCKS} blocks to chance to be enumerated; it "
            f"leaves {len(random)}. Use method='taylor' or 'monte_carlo'."
        )
    # The bits of each number say which of the random blocks run.
    number = torch.arange(2 ** len(random))
    active = (p == 1)[:, None].repeat(1, len(number))
    active[random] = ((number >> torch.arange(len(random))[:, None]) & 1).bool()
    probability = law.probability(active)
    return active[:, probability > 0].double(), probability[probability > 0]


def _monte_carlo(
    losses: Callable[[Tensor], Tensor], law: Law, draws: int, generator: Generator | None
) -> Estimate:
    if generator is None:
        remedy = "Pass gates.stream(seed, step)."
        raise fail("generator", "given for method='monte_carlo'", None, remedy)
    values = losses(law.sample(draws, generator=generator)).double()
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(draws))
