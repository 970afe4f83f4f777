"""What gated modules know, and where it is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from .._frame import Role
from ..following import Unit

if TYPE_CHECKING:
    from ._controller import Controller

SEAT = "_stochastic_depth_seat"
CHILD = "_stochastic_depth_child"
CONTROLLER = "_stochastic_depth_controller"
"""Plain attributes of a block, of a child on its branch, and of the model: no module,
parameter or buffer is added."""

ORIGINAL = "_stochastic_depth_original"
"""Attribute of an extended class: the class it extends."""


@dataclass(eq=False)
class Seat:
    """What a gated block knows: who draws its gates, which they are, how to run under them.

    Attributes:
        controller: of the model.
        index: number of the block.
        unit: what was found out about it.
        gates: indices of its gates, for each of its calls in a pass.
        original: class of the block before gates were put on it.
        entry: how it stands in a graph of the whole model; None while nobody has compiled.
    """

    controller: "Controller"
    index: int
    unit: Unit
    gates: list[list[int]]
    original: type[nn.Module]
    entry: Any = None  # an Entry, or why there is none

    @property
    def forward(self) -> Callable[..., Any]:
        """The block's own forward, as it is now."""
        return self.original.forward

    @property
    def whole(self) -> bool:
        """Whether all branches share one gate."""
        return len(self.gates[0]) == 1


@dataclass(eq=False)
class Child:
    """What a child on a branch knows: its role in each block, by number of the call."""

    controller: "Controller"
    roles: dict[int, dict[int, Role]]
