"""Everything the theory says about one network and one law of its gates."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ..gates import Deterministic, Law
from ._estimates import Estimate
from ._expected_loss import expected_loss
from ._gate_derivatives import discrepancies, leave_one_out, sensitivities
from ._gated_network import Loss, Network, outputs_under
from ._noise import lindeberg_ratio, noise_variance, normality
from ._regularizer import regularizer


@dataclass(frozen=True, eq=False)
class OutputNoise:
    """Noise of random gates, for each sample and output that it reaches.

    Attributes:
        measured: standard deviation over masks.
        predicted: standard deviation to first order, see `noise_variance`.
        p_value: Shapiro-Wilk test that the output is Gaussian over masks.
        lindeberg: share of the largest block, see `lindeberg_ratio`.
    """

    measured: Float[Tensor, " n"]
    predicted: Float[Tensor, " n"]
    p_value: Float[Tensor, " n"]
    lindeberg: Float[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What each block does in a network with random gates.

    Derivatives are taken at the gates at which the network is evaluated.

    Attributes:
        law: of the gates.
        loss: at the evaluated gates.
        expected_loss: mean over masks.
        second_order: of the expected loss, see `expected_loss`.
        sensitivities: S_l, shape (L,).
        cost: exactly what leaving out block l adds to the loss, shape (L,).
        discrepancy: root mean square over samples of the length of zeta_l, shape (L,).
        regularizer: g_l, shape (L,).
        noise: on the outputs; None if no gate is random.
    """

    law: Law
    loss: float
    expected_loss: Estimate
    second_order: float
    sensitivities: Float[Tensor, " L"]
    cost: Float[Tensor, " L"]
    discrepancy: Float[Tensor, " L"]
    regularizer: Float[Tensor, " L"]
    noise: OutputNoise | None

    @property
    def ranking(self) -> Int[Tensor, " L"]:
        """Blocks by the cost of leaving them out, most expensive first."""
        return self.cost.argsort(descending=True)


def diagnose(
    f: Network,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    law: Law,
    *,
    masks: int = 200,
    generator: Generator | None = None,
) -> Diagnosis:
    """Measure what each block does, and what random gates do to the network.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples, of operations that `torch.func` supports.
        law: of the gates.
        masks: number of gate vectors to draw, at least 20.
        generator: a CPU generator; one seeded with 0 by default.

    Raises:
        InvalidArgument: too few masks, a law of another length.
        Unsupported: batch statistics or randomness in f, a loss without Hessian.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=20, width=32, inputs=8, outputs=3)
        >>> x, y = torch.randn(16, 8), torch.randint(3, (16,))
        >>> law = sd.gates.Bernoulli(sd.schedules.linear(0.5)(20), rescale="test")
        >>> found = sd.theory.diagnose(model, x, y, torch.nn.functional.cross_entropy, law)
        >>> found.ranking.shape, found.noise.p_value.shape
        (torch.Size([20]), torch.Size([48]))

    References:
        Hayou & Ayed 2021, sections 4 to 6.
    """
    at = law.evaluation
    zeta = discrepancies(f, x, at)
    sampled, measured = _under_masks(f, x, y, loss, law, masks, generator)
    with torch.no_grad():
        evaluated = float(loss(f(x, at.to(x)), y))
    return Diagnosis(
        law=law,
        loss=evaluated,
        expected_loss=sampled,
        second_order=expected_loss(f, x, y, loss, law, "taylor").value,
        sensitivities=sensitivities(f, x, y, loss, at),
        cost=-leave_one_out(f, x, y, loss, at),
        discrepancy=zeta.square().sum(-1).mean(1).sqrt(),
        regularizer=regularizer(f, x, y, loss, at),
        noise=None if _certain(law) else _noise(measured, zeta, law),
    )


def _under_masks(
    f: Network,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    law: Law,
    masks: int,
    generator: Generator | None,
) -> tuple[Estimate, Float[Tensor, "M N outputs"]]:
    """Return the mean loss and the outputs under drawn gates; one draw if all are the same."""
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    drawn = law.sample(1 if _certain(law) else masks, generator=generator).to(x)
    outputs = outputs_under(f, x, drawn)
    losses = torch.vmap(loss, in_dims=(0, None))(outputs, y).double()
    error = float(losses.std()) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return Estimate(float(losses.mean()), error), outputs.flatten(2)


def _certain(law: Law) -> bool:
    return isinstance(law, Deterministic) or not (law.variance > 0).any()


def _noise(
    outputs: Float[Tensor, "M N outputs"], zeta: Float[Tensor, "L N outputs"], law: Law
) -> OutputNoise:
    random = (law.variance > 0).to(zeta.device)
    columns = outputs.flatten(1)
    # An output that no random gate moves cannot be tested.
    reached = (zeta[random] != 0).any(0).flatten() & (columns.std(0) > 0)
    moved = zeta[random].flatten(1)[:, reached]
    return OutputNoise(
        measured=columns[:, reached].std(0),
        predicted=noise_variance(zeta, law).flatten()[reached].sqrt(),
        p_value=normality(columns[:, reached]).p_value,
        lindeberg=lindeberg_ratio(moved[..., None]).flatten(),
    )
