"""The callbacks that stochastic depth needs in a run, from its configuration."""

from ._config import RunConfig
from ._prepare import Prepared, sensing_batches
from ._processes import Place
from .callbacks import SenseMode, StepGates, StochasticDepth
from .data import Batches, ImageSet


def setting_gates(prepared: Prepared) -> StochasticDepth | None:
    """Return the callback that sets the gates, and the probabilities if they move."""
    if prepared.handle is None:
        return None
    config = prepared.config
    return StochasticDepth(
        prepared.handle,
        prepared.curriculum if config.depth.curriculum != "constant" else None,
        passes=config.accumulate,
        fresh=config.accumulated_gates == "new",
    )


def gates_of_steps(
    setting: StochasticDepth | None, batches: Batches, config: RunConfig
) -> StepGates | None:
    """Return the gates of every step, of all processes; None at constant depth."""
    if setting is None:
        return None
    rank, independent = Place.here().rank, config.depth.independent
    return StepGates(setting, config.depth.per, batches.sizes, rank, independent=independent)


def sense_mode(prepared: Prepared, train: ImageSet) -> SenseMode | None:
    """Return the callback that refits the schedule to sensitivities, where that is asked for."""
    config, depth = prepared.config, prepared.config.depth
    if prepared.handle is None or depth.interval is None or depth.budget is None:
        return None
    return SenseMode(
        prepared.handle,
        lambda step: sensing_batches(train, config, step),
        depth.budget,
        depth.interval,
        minimum=depth.minimum or 0.0,
    )
