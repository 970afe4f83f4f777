"""The growth of gradients at initialisation, under the paper's three modes."""

from dataclasses import dataclass

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from ... import gates, theory
from .._artefact import Context
from ._ensemble import Ensemble, Population
from ._modes import MODES, law


@dataclass(frozen=True)
class GrowthSettings:
    """Vanilla ResNet50 of width 512, 500 draws of weights with `masks` draws of gates each."""

    budget: float
    stable: bool = False
    depth: int = 50
    width: int = 512
    draws: int = 500
    masks: int = 16


def measure(settings: GrowthSettings, context: Context) -> pl.DataFrame:
    """Return logarithms of the growth of the squared gradient norm from layer L to layer l.

    Returns:
        One row per mode and layer l = 0..L: `mode, layer, predicted, log, standard_error,
        mean_log, draws`.
    """
    networks = Population(
        settings.draws, settings.depth, settings.width, stable=settings.stable, seed=context.seed
    )
    norms = [
        _norms(network, settings, gates.stream(context.seed, step))
        for step, network in enumerate(context.track(networks, "gradients at initialisation"))
    ]
    by_draw = torch.cat(norms, dim=1)
    tables = [
        _table(mode, by_draw[:, :, k], settings, networks.scale) for k, mode in enumerate(MODES)
    ]
    return pl.concat(tables)


def _norms(
    network: Ensemble, settings: GrowthSettings, generator: torch.Generator
) -> Float[Tensor, "L+1 copies modes masks"]:
    """Return squared gradient norms of each network, under masks of all modes in one pass."""
    rows = settings.masks * network.copies
    laws = [law(mode, settings.depth, settings.budget) for mode in MODES]
    masks = torch.cat([each.sample(rows, generator=generator) for each in laws], dim=1)
    inputs = network.encoder.shape[1]
    x = torch.randn(masks.shape[1], inputs, generator=generator).requires_grad_()
    norms = theory.gradient_norms(network.states, x, x, lambda out, y: out.sum(), masks)
    # Row i belongs to network i mod copies.
    return norms.unflatten(1, (len(MODES), settings.masks, network.copies)).permute(0, 3, 1, 2)


def _table(mode: str, norms: Tensor, settings: GrowthSettings, scale: float) -> pl.DataFrame:
    growth = theory.measured_growth(norms)
    predicted = theory.predicted_growth(law(mode, settings.depth, settings.budget), scale)
    layers = len(predicted)
    return pl.DataFrame(
        {
            "mode": [mode] * layers,
            "layer": list(range(layers)),
            "predicted": predicted.tolist(),
            "log": growth.log.tolist(),
            "standard_error": growth.standard_error.tolist(),
            "mean_log": growth.mean_log.tolist(),
            "draws": [settings.draws] * layers,
        }
    )
