"""Gradients inside the network, and how they grow on their way back at initialisation."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._checks import fail, positive
from .._errors import InvalidArgument
from .._typing import Gates
from ..gates import Law
from ._gated_network import Loss, Network

States: TypeAlias = Callable[[Tensor, Tensor], Sequence[Tensor]]
"""states(x, gates): the hidden states y_0, ..., y_L in order, and last the output."""


def hidden_states(f: Network, layers: Sequence[nn.Module]) -> States:
    """Return f with its hidden states: the outputs of `layers`, then its own output.

    Args:
        f: f(x, gates), which runs every layer once.
        layers: modules whose outputs are y_0, ..., y_L, in this order.

    Raises:
        InvalidArgument: when called, if a layer did not run, or ran twice.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> f = sd.models.VanillaResNet(depth=4, width=16, inputs=3, outputs=2)
        >>> states = sd.theory.hidden_states(f, [f.encoder, *f.blocks])
        >>> [tuple(y.shape) for y in states(torch.randn(5, 3), torch.ones(4))]
        [(5, 16), (5, 16), (5, 16), (5, 16), (5, 16), (5, 2)]
    """

    def states(x: Tensor, gates: Tensor) -> list[Tensor]:
        seen: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
            for layer in layers
        ]
        try:
            output = f(x, gates)
        finally:
            for hook in hooks:
                hook.remove()
        if len(seen) != len(layers):
            raise InvalidArgument(
                f"layers must each run once in f; {len(layers)} layers ran {len(seen)} times."
            )
        return [*seen, output]

    return states


def gradient_norms(
    states: States, x: Tensor, y: Tensor, loss: Loss, gates: Gates
) -> Float[Tensor, "L+1 N"]:
    """Return the squared norm of the loss gradient at every hidden state, per sample.

    Args:
        states: states(x, gates), see `hidden_states`.
        x: input, N samples.
        y: targets.
        loss: scalar, a sum or mean over samples.
        gates: one draw, shape (L,) or (L, N).

    Returns:
        Tensor of shape (L+1, N): row l is ||grad_{y_l} loss||^2.
    """
    *hidden, output = states(x, gates)
    gradients = torch.autograd.grad(loss(output, y), hidden)
    return torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])


def loss_gradient(f: Network, y: Tensor, loss: Loss) -> Network:
    """Return the gradient of each sample's loss in its input, as a network of its own.

    What the theory says of outputs then holds for gradients: `noise`, `discrepancies` and
    `normality` apply to it as to any f(x, gates).

    Args:
        f: f(x, gates).
        y: targets of the batch; an x that repeats the batch gets repeated targets.
        loss: scalar mean over samples.

    Returns:
        A callable of x and gates with outputs of the shape of x.
    """

    def gradient(x: Tensor, gates: Tensor) -> Tensor:
        copies = -(-len(x) // len(y))
        targets = y.repeat(copies, *[1] * (y.ndim - 1))[: len(x)]
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            # The mean divides each sample's gradient by N.
            total = loss(f(leaf, gates), targets) * len(x)
            return torch.autograd.grad(total, leaf, create_graph=gates.requires_grad)[0]

    return gradient


class Growth(NamedTuple):
    """Measured growth of the squared gradient norm, from the last hidden state back.

    Attributes:
        log: logarithm of the mean growth, shape (L+1,), 0 at the end.
        standard_error: standard error of `log`, shape (L+1,).
        mean_log: mean of the logarithm of the growth, shape (L+1,); typical rather than
            mean, and far less noisy, because the growth is a product of random factors.
    """

    log: Float[Tensor, " L+1"]
    standard_error: Float[Tensor, " L+1"]
    mean_log: Float[Tensor, " L+1"]


def predicted_growth(law: Law, scale: float = 1.0) -> Float[Tensor, " L+1"]:
    """Return the logarithm of the gradient's growth in wide ReLU networks at initialisation.

        log q_l = sum_{k > l} log(1 + a^2 E d_k^2),   q_l = E ||grad y_l||^2 / ||grad y_L||^2

    for He initialisation. E d^2 is p for gates of 0 and 1, 1/p for `rescale="train"`, and
    1 without stochastic depth.

    Args:
        law: law of L independent gates; for dependent ones the product does not hold.
        scale: a, positive: 1, or 1/sqrt(L) in a stable network.

    Returns:
        float64 tensor of shape (L+1,), l = 0..L.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli([0.7] * 50, rescale="test")
        >>> q = sd.theory.predicted_growth(law).exp()
        >>> round(float(q[0]) / 1.7**50, 6), float(q[50])
        (1.0, 1.0)

    References:
        Hayou & Ayed 2021, Proposition 1 for gates of 0 and 1 and a = 1; the other cases
        follow from the same proof.
    """
    second_moment = law.variance + law.mean**2
    terms = torch.log1p(positive("scale", scale) ** 2 * second_moment)
    return torch.cat([terms.flip(0).cumsum(0).flip(0), terms.new_zeros(1)])


def measured_growth(norms: Float[Tensor, "L+1 draws *samples"]) -> Growth:
    """Return the mean growth of the gradient over draws, in logarithms.

        q_l = mean over draws of ||grad y_l||^2 / ||grad y_L||^2

    Args:
        norms: squared norms from `gradient_norms`, one column per independent draw, at
            least 2; further dimensions are samples of one draw, and averaged first.

    Returns:
        The growth; its standard error assumes independent draws.

    Raises:
        InvalidArgument: fewer than two draws, or a gradient that vanished completely.
    """
    if norms.ndim < 2 or norms.shape[1] < 2:
        raise fail("norms", "of shape (L+1, draws, ...), 2 draws or more", tuple(norms.shape))
    if not (norms[-1] > 0).all():
        raise fail("norms[-1]", "positive: the gradient at the end is the unit", "0")
    ratios = norms.double().log() - norms[-1].double().log()
    # Samples of one draw share their gates: only draws are independent.
    per_draw = _log_mean(ratios.reshape(*norms.shape[:2], -1))
    log = _log_mean(per_draw)
    # Deviation of the ratios in units of their mean, because the ratios may overflow.
    deviation = (per_draw - log[:, None]).exp().std(1)
    typical = ratios.flatten(1).mean(1)
    return Growth(log, deviation / math.sqrt(norms.shape[1]), typical)


def _log_mean(logs: Tensor) -> Tensor:
    """Return log(mean(exp(x))) over the last dimension."""
    return logs.logsumexp(-1) - math.log(logs.shape[-1])


def growth_rate(log_growth: Float[Tensor, " L+1"]) -> Float[Tensor, " L"]:
    """Return the growth per layer, q_l^(1/(L-l)), for l = 0..L-1.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli([0.2, 0.5], rescale="test")
        >>> sd.theory.growth_rate(sd.theory.predicted_growth(law))
        tensor([1.3416, 1.5000], dtype=torch.float64)

    References:
        Hayou & Ayed 2021, Table 1.
    """
    remaining = torch.arange(len(log_growth) - 1, 0, -1, dtype=log_growth.dtype)
    return (log_growth[:-1] / remaining).exp()
