"""Put gates on the blocks of a model, and take them off."""

from typing import Any

from torch import nn

from ..._errors import AlreadyApplied, Unsupported
from ...gates import Law
from .._takeover import own_rates
from ..following import Anatomy, Unit
from ._compiling import compile_gated
from ._controller import Controller, Options
from ._gated import block_forward, child_call, extended, is_gated, model_forward
from ._seat import CHILD, CONTROLLER, ORIGINAL, SEAT, Child, Seat


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


def bearer(model: nn.Module) -> nn.Module | None:
    """Return what has the gates of a model: itself, or a model within it, as within an adapter.

    Raises:
        Unsupported: there are several, or the gates of its blocks are those of another model.
    """
    found = [path for path, module in model.named_modules() if CONTROLLER in vars(module)]
    if len(found) > 1:
        raise Unsupported(
            f"A model must have stochastic depth once, and this {type(model).__name__} holds "
            f"{len(found)} that have it ({', '.join(path or 'itself' for path in found)}). Give "
            "the one that is meant."
        )
    if not found and any(SEAT in vars(module) for module in model.modules()):
        raise Unsupported(
            f"The gates must be those of the model given, and the blocks of this "
            f"{type(model).__name__} have those of the model that it was taken out of. Call "
            "remove() of its handle first, or apply stochastic depth before wrapping the model."
        )
    return model.get_submodule(found[0]) if found else None


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
        # All are looked at before any is changed: a refusal leaves the model as it is.
        if ORIGINAL not in vars(type(module)):
            raise Unsupported(
                f"{type(module).__name__} was wrapped after stochastic depth was applied; undo "
                "that first (the last change must be undone first)."
            )
    controller: Controller = vars(model)[CONTROLLER]
    # What was compiled calls gates that are about to go.
    if controller.compiled:
        compile_gated(model, None)
    if controller.spared is not None:
        controller.spared.stop()
    for module in modules:
        # A module may have several roles, such as a model that is a block itself.
        while ORIGINAL in vars(type(module)):
            module.__class__ = vars(type(module))[ORIGINAL]
        for name in (SEAT, CHILD, CONTROLLER):
            module.__dict__.pop(name, None)
    for rate in controller.rates:
        rate.put(model, rate.value)
