"""Put gates on modules by extending their class, and take them off again.

A gated module keeps everything it is: its class is replaced by a subclass of it with
the same name whose `forward` asks for the gates first. There is one such subclass per
class, made when first needed.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ._controller import Controller
from ._distributed import check_processes
from ._pass import first_tensor
from .translation import Translation

SEAT = "_stochastic_depth_seat"
CONTROLLER = "_stochastic_depth_controller"
"""Plain attributes of a block and of the model: no module, parameter or buffer is added."""

ORIGINAL = "_stochastic_depth_original"
"""Attribute of an extended class: the class it extends."""


@dataclass
class Seat:
    """What a gated block knows: who draws its gates, which they are, how to run under them.

    Attributes:
        controller: of the model.
        first: index of its first gate.
        gates: how many gates it has: 1, or one per branch.
        branches: how many branches it has.
        translation: how to run it.
    """

    controller: Controller
    first: int
    gates: int
    branches: int
    translation: Translation


def block_forward(original: type[nn.Module]) -> Callable[..., Any]:
    """Return the forward of a gated block of class `original`."""

    @functools.wraps(original.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        seat: Seat = vars(self)[SEAT]
        drawn = seat.controller.gates(self.training, first_tensor(args, kwargs))
        gates = drawn[seat.first : seat.first + seat.gates]
        is_open = all(isinstance(gate, float) and gate == 1.0 for gate in gates)
        if is_open and not seat.controller.compiled:
            return original.forward(self, *args, **kwargs)
        return seat.translation.run(
            self,
            gates if seat.gates == seat.branches else gates * seat.branches,
            args,
            kwargs,
            zero_grads=seat.controller.options.dropped_grads == "zero",
        )

    return forward


def model_forward(original: type[nn.Module]) -> Callable[..., Any]:
    """Return the forward of a model of class `original` whose blocks have gates."""

    @functools.wraps(original.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        controller: Controller = vars(self)[CONTROLLER]
        if self.training:
            check_processes(self, controller.options)
        with controller.open_pass(self.training, first_tensor(args, kwargs)) as running:
            output = original.forward(self, *args, **kwargs)
        controller.follow(output, running)
        return output

    return forward


Role = Callable[[type[nn.Module]], Callable[..., Any]]


def extended(original: type[nn.Module], role: Role) -> type[nn.Module]:
    """Return the subclass of `original` whose forward is `role(original)`."""
    if (original, role) not in _EXTENDED:
        _EXTENDED[original, role] = _extend(original, role)
    return _EXTENDED[original, role]


_EXTENDED: dict[tuple[type[nn.Module], Role], type[nn.Module]] = {}


def _extend(original: type[nn.Module], role: Role) -> type[nn.Module]:
    def reduce(self: nn.Module, protocol: Any) -> Any:
        # The subclass exists in this process only: a pickle names the original class.
        rebuild, args, *state = tuple(original.__reduce_ex__(self, protocol))
        args = tuple(original if arg is type(self) else arg for arg in args)
        return (_rebuild, (role, rebuild, args), *state)

    namespace = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        # Gates are data: a compiler that saw them would write a graph for every draw.
        "forward": torch.compiler.disable(role(original), reason="gates stay outside of graphs"),
        "__reduce_ex__": reduce,
        ORIGINAL: original,
    }
    return type(original.__name__, (original,), namespace)


def _rebuild(role: Role, rebuild: Callable[..., nn.Module], args: tuple[Any, ...]) -> nn.Module:
    module = rebuild(*args)
    module.__class__ = extended(type(module), role)
    return module


def is_gated(module: nn.Module) -> bool:
    """Return whether `module` is a block with gates, or a model with gated blocks."""
    return SEAT in vars(module) or CONTROLLER in vars(module)
