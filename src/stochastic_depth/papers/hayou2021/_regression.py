"""The paper's toy regression: stable vanilla networks that learn x -> sin(beta . x).

Stated there: inputs and beta are standard Gaussian in R^256, networks are trained with
stochastic depth. The number of samples, the optimiser, its learning rate and the batch size
are not; ours are in `Training`. beta . x has a standard deviation of 16, so that the sine
turns over within a twentieth of the distance between samples: it can only be memorised.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import mse_loss

from ... import gates as laws
from ...models import VanillaResNet

INPUTS = 256


@dataclass(frozen=True)
class Training:
    """A network and how it is trained; Adam, mean squared error, one mask per step.

    Args:
        depth: L.
        width: N.
        epochs: the epochs after which the network is looked at, increasing.
        samples: size of the training set.
        batch_size: samples per step.
        learning_rate: of Adam.
    """

    depth: int = 100
    width: int = 128
    epochs: tuple[int, ...] = (0, 1, 5, 10, 20, 40)
    samples: int = 500
    batch_size: int = 50
    learning_rate: float = 1e-3


def regression_data(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs (samples, 256) and targets (samples, 1)."""
    generator = laws.stream(seed, step=0)
    beta = torch.randn(INPUTS, 1, generator=generator)
    x = torch.randn(samples, INPUTS, generator=generator)
    return x, (x @ beta).sin()


def fresh_data(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets that are not those of the training with that seed."""
    return regression_data(samples, seed + 10_000)


def at_initialisation(depth: int, width: int, seed: int) -> VanillaResNet:
    """Return the network before its training."""
    # The constructor draws from the global generator: forked, so that nothing else moves.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VanillaResNet(depth, width, INPUTS, 1)


def trained(training: Training, law: laws.Law, seed: int) -> Iterator[tuple[int, VanillaResNet]]:
    """Yield the epoch and the network, after each of the wanted epochs."""
    model = at_initialisation(training.depth, training.width, seed)
    optimizer = torch.optim.Adam(model.parameters(), training.learning_rate)
    x, y = regression_data(training.samples, seed)
    done = 0
    for epoch in training.epochs:
        while done < epoch:
            done += 1
            _one_epoch(model, optimizer, law, training, (x, y), laws.stream(seed, done))
        yield epoch, model


def _one_epoch(
    model: VanillaResNet,
    optimizer: torch.optim.Optimizer,
    law: laws.Law,
    training: Training,
    data: tuple[Tensor, Tensor],
    generator: torch.Generator,
) -> None:
    x, y = data
    for batch in torch.randperm(len(x), generator=generator).split(training.batch_size):
        gates = law.sample(generator=generator)
        optimizer.zero_grad()
        mse_loss(model(x[batch], gates), y[batch]).backward()
        optimizer.step()


ROWS = 10_000
"""Rows per forward pass."""


def masked_outputs(
    f: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "N inputs"],
    law: laws.Law,
    masks: int,
    generator: Generator,
) -> Float[Tensor, "masks N outputs"]:
    """Return outputs under `masks` masks per input, all of them independent.

    The paper samples 200 masks for each input; masks that inputs share would make the
    tests of different inputs depend on each other.
    """
    together = max(1, ROWS // len(x))
    parts = []
    for start in range(0, masks, together):
        size = min(together, masks - start)
        rows = x.expand(size, *x.shape).flatten(0, 1)
        gates = law.sample(len(rows), generator=generator)
        parts.append(f(rows, gates).detach().unflatten(0, (size, len(x))))
    return torch.cat(parts)


LEVEL = 0.05

# Exact tests of Gaussian draws reject 5 %; "Gaussian behaviour holds" is taken to mean that
# no more than twice as many are rejected. The paper shows p-values and names no number.
GAUSSIAN_SHARE = 0.10


def rejected(p_values: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Return the share of tests that reject normality at 5 %."""
    return (p_values < LEVEL).double().mean(dim)
