"""List the blocks of a model."""

from typing import Any

from torch import nn

from ._gated import CONTROLLER
from ._install import require_plain
from .finding import Anatomy, Block, Granularity, Transitions


def find_blocks(
    model: nn.Module,
    *,
    granularity: Granularity = "block",
    transitions: Transitions = "protect",
    example: Any | None = None,
) -> tuple[Block, ...]:
    """Return the residual blocks of a model, in the order in which they run.

    The project's `Residual` modules are recognised as they are. Foreign blocks are found
    by following the forward of each module, on a model that is run once on `example`;
    each translation into residual steps is checked by running it beside the original.

    Args:
        model: the model; one that has stochastic depth shows the blocks it has it on, and
            the other arguments do not matter.
        granularity: see `Granularity`.
        transitions: see `Transitions`.
        example: an input of the model, or a tuple of inputs. Guessed when needed; given,
            the costs of the blocks are measured on it.

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
    controller = vars(model).get(CONTROLLER)
    if controller is not None:
        return controller.blocks
    require_plain(model)
    return Anatomy.of(model, granularity, transitions, example).blocks
