"""The regularisation weights g_l over draws of the network at initialisation."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ... import gates, theory
from .._artefact import Context
from ._ensemble import Ensemble, Population


@dataclass(frozen=True)
class WeightSettings:
    """Vanilla ResNet50 of width 512; weights are drawn `draws` times, inputs `samples` times."""

    depth: int = 50
    width: int = 512
    draws: int = 200
    samples: int = 16
    inputs: int = 64
    outputs: int = 4
    stable: bool = True


def weights_at_initialisation(
    settings: WeightSettings, context: Context
) -> Float[Tensor, "draws L"]:
    """Return g_l under the quadratic loss, a mean over inputs, for each draw of the weights.

    In the paper's normalisation: L times `theory.regularizer`.
    """
    networks = Population(
        settings.draws,
        settings.depth,
        settings.width,
        settings.inputs,
        settings.outputs,
        settings.stable,
        context.seed,
    )
    tracked = context.track(networks, "discrepancies at initialisation")
    parts = [
        _weights(network, settings, gates.stream(context.seed, step))
        for step, network in enumerate(tracked)
    ]
    return torch.cat(parts)


def level(settings: WeightSettings) -> float:
    """Return E g_l in infinite width, which is the same for all l.

    E ||z_l||^2 = N (1 + 1/L)^(l-1) for inputs of norm sqrt(inputs), the Jacobian carries
    (1 + 1/L)^(L-l), and the last ReLU with its weights outputs / (2 N).
    """
    return settings.outputs * (1 + 1 / settings.depth) ** (settings.depth - 1)


def _weights(
    network: Ensemble, settings: WeightSettings, generator: torch.Generator
) -> Float[Tensor, "copies L"]:
    x = torch.randn(settings.samples * network.copies, settings.inputs, generator=generator)
    zeta = theory.discrepancies(network, x)
    of_row = 2 * settings.depth * zeta.square().sum(2)
    # Row i belongs to network i mod copies.
    return of_row.unflatten(1, (settings.samples, network.copies)).mean(1).T
