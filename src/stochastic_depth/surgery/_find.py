"""List the blocks of a model."""

from typing import Any

from torch import nn

from .._checks import network
from .following import Anatomy, Block, Granularity, Transitions
from .running import CONTROLLER, require_plain


def find_blocks(
    model: nn.Module,
    *,
    granularity: Granularity = "block",
    transitions: Transitions = "protect",
    example: Any | None = None,
) -> tuple[Block, ...]:
    """Return the residual blocks of a model, in the order in which they run.

    The project's `Residual` modules are recognised as they are. Foreign blocks are found by
    recording what the model computes on `example`, at two batch sizes; what each block
    leaves when dropped is checked by running it. The model is left as it is.

    Args:
        model: the model; one that has stochastic depth shows the blocks it has it on, and
            the other arguments do not matter.
        granularity: see `Granularity`.
        transitions: see `Transitions`.
        example: an input of the model, a tuple of inputs, or a dictionary of keyword
            arguments. Guessed when needed; given, the costs of the blocks are measured on it.

    Returns:
        The blocks; empty if there are none.

    Raises:
        Unsupported: no input could be guessed, or the model is compiled.
        AlreadyApplied: a part of the model has stochastic depth.

    Example:
        >>> import stochastic_depth as sd
        >>> blocks = sd.find_blocks(sd.models.CifarResNet(20, num_classes=10))
        >>> len(blocks), blocks[3].path, blocks[3].droppable
        (9, 'blocks.3', True)
    """
    controller = vars(network("model", model)).get(CONTROLLER)
    if controller is not None:
        return controller.blocks
    require_plain(model)
    return Anatomy.of(model, granularity, transitions, example).blocks
