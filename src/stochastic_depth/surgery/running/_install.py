"""Put gates on the blocks of a model, and take them off."""

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import nn

from ..._errors import AlreadyApplied, Unsupported
from ...gates import Law
from .._takeover import own_rates
from ..following import Anatomy, Unit
from ._controller import Controller, Options
from ._gated import (
    CHILD,
    CONTROLLER,
    ORIGINAL,
    SEAT,
    Child,
    Seat,
    block_forward,
    child_call,
    extended,
    is_gated,
    model_forward,
    outside_graph,
)


def require_plain(model: nn.Module) -> None:
    """Raise unless gates may be put on `model`.

    Raises:
        AlreadyApplied: it, or a part of it, has gates.
        Unsupported: it, or a part of it, is compiled.
    """
    for path, module in model.named_modules():
        name = path or type(module).__name__
        if is_gated(module):
            raise AlreadyApplied(
                f"{name} already has stochastic depth. Change its law through the handle "
                "(stochastic_depth.surgery.handle), or call handle.remove() first."
            )
        if module._compiled_call_impl is not None or hasattr(module, "_orig_mod"):
            raise Unsupported(
                f"{name} is compiled, and would run without its gates. Apply stochastic depth "
                "to the plain model, then compile it."
            )


def install(
    model: nn.Module, anatomy: Anatomy, law: Law, options: Options, seed: int
) -> Controller:
    """Put gates on the blocks of `model` and return what draws them.

    What the model drops by itself gets a rate of 0: nothing is dropped twice.
    """
    rates = own_rates(model)
    controller = Controller(anatomy, law, options, seed, rates)
    for index, unit in enumerate(anatomy.survey.units):
        if unit.obstacle:
            continue
        block = model.get_submodule(unit.path)
        seat = Seat(controller, index, unit, _indices(anatomy, unit), type(block))
        for branch in unit.branches:
            for (path, nth), role in branch.roles.items():
                _seat_child(block.get_submodule(path), controller, index, nth, role)
        block.__dict__[SEAT] = seat
        block.__class__ = extended(type(block), block_forward)
    model.__dict__[CONTROLLER] = controller
    model.__class__ = extended(type(model), model_forward)
    for rate in rates:
        rate.put(model, 0.0)
    return controller


def _indices(anatomy: Anatomy, unit: Unit) -> list[list[int]]:
    """Return the indices of the gates of a unit, call by call."""
    gates = anatomy.gates_of(unit)
    size = len(gates) // unit.uses
    return [gates[first : first + size] for first in range(0, len(gates), size)]


def _seat_child(child: nn.Module, controller: Controller, index: int, nth: int, role: Any) -> None:
    if CHILD not in vars(child):
        child.__dict__[CHILD] = Child(controller, {})
        child.__class__ = extended(type(child), child_call)
    vars(child)[CHILD].roles.setdefault(index, {})[nth] = role


def uninstall(model: nn.Module) -> None:
    """Restore `model` to what it was before `install`.

    Raises:
        Unsupported: the class of a module was extended once more since then.
    """
    modules = [module for module in model.modules() if is_gated(module) or CHILD in vars(module)]
    for module in modules:
        if ORIGINAL not in vars(type(module)):
            raise Unsupported(
                f"{type(module).__name__} was wrapped after stochastic depth was applied; undo "
                "that first (the last change must be undone first)."
            )
    controller: Controller = vars(model)[CONTROLLER]
    if controller.compiled:
        compile_gated(model, None)
    if controller.spared is not None:
        controller.spared.stop()
    for module in modules:
        while ORIGINAL in vars(type(module)):
            module.__class__ = vars(type(module))[ORIGINAL]
        for name in (SEAT, CHILD, CONTROLLER):
            module.__dict__.pop(name, None)
    for rate in controller.rates:
        rate.put(model, rate.value)


def compile_gated(model: nn.Module, options: dict[str, Any] | None) -> None:
    """Compile a model with gates into one graph, or branch by branch; None undoes it."""
    controller: Controller = vars(model)[CONTROLLER]
    whole = options is not None and not outside_graph(model)
    controller.program = None
    if whole:
        forward = vars(type(model))[ORIGINAL].forward
        controller.program = torch.compile(_caller(forward), **(options or {}))
    _compile_branches(model, None if whole else options)
    controller.compiled = options is not None


def _compile_branches(model: nn.Module, options: dict[str, Any] | None) -> None:
    compiled: dict[Any, Callable[..., Any]] = {}
    for block, seat in seats(model):
        paths = [path for branch in seat.unit.branches for path in branch.modules]
        for path in dict.fromkeys(paths):
            child = block.get_submodule(path)
            child._compiled_call_impl = None
            if options is not None and next(child.parameters(), None) is not None:
                key = _structure(child)
                if key not in compiled:
                    call = _caller(nn.Module._call_impl)
                    compiled[key] = torch.compile(call, **options)
                child._compiled_call_impl = partial(compiled[key], child)


def _structure(child: nn.Module) -> tuple[Any, ...]:
    """Return what modules have in common that run as one graph."""
    tensors = [*child.named_parameters(), *child.named_buffers()]
    return (str(child), *((name, t.shape, t.dtype, t.requires_grad) for name, t in tensors))


def _caller(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with a code object of its own: the compiler counts graphs by code."""

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return method(module, *args, **kwargs)

    return FunctionType(call.__code__.replace(), globals(), "call", closure=call.__closure__)


def seats(model: nn.Module) -> Iterator[tuple[nn.Module, Seat]]:
    """Yield the blocks that have gates, and what they know about them."""
    for module in model.modules():
        if SEAT in vars(module):
            yield module, vars(module)[SEAT]
