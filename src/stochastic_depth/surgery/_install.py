"""Put gates on the blocks of a model, and take them off."""

from collections.abc import Iterator

from torch import nn

from .._errors import AlreadyApplied, Unsupported
from ..gates import Law
from ._controller import Controller, Options
from ._gated import (
    CONTROLLER,
    ORIGINAL,
    SEAT,
    Seat,
    block_forward,
    extended,
    is_gated,
    model_forward,
)
from .finding import Anatomy
from .translation import masks


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
                "to the plain model, then compile its branches with handle.compile()."
            )


def install(
    model: nn.Module, anatomy: Anatomy, law: Law, options: Options, seed: int
) -> Controller:
    """Put gates on the blocks of `model` and return what draws them.

    Masks that the model was built with get a drop rate of 0: nothing is masked twice.
    """
    rates = tuple(masks(model))
    controller = Controller(anatomy, law, options, seed, rates)
    first = 0
    for unit, gates in zip(anatomy.survey.units, anatomy.gates_per_unit, strict=True):
        if unit.translation is not None:
            seat = Seat(controller, first, gates, len(unit.branches), unit.translation)
            block = model.get_submodule(unit.path)
            block.__dict__[SEAT] = seat
            block.__class__ = extended(type(block), block_forward)
        first += gates
    model.__dict__[CONTROLLER] = controller
    model.__class__ = extended(type(model), model_forward)
    for path, name, _ in rates:
        setattr(model.get_submodule(path), name, 0.0)
    return controller


def uninstall(model: nn.Module) -> None:
    """Restore `model` to what it was before `install`.

    Raises:
        Unsupported: the class of a module was extended once more since then.
    """
    modules = [module for module in model.modules() if is_gated(module)]
    for module in modules:
        if ORIGINAL not in vars(type(module)):
            raise Unsupported(
                f"{type(module).__name__} was wrapped after stochastic depth was applied; undo "
                "that first (the last change must be undone first)."
            )
    controller: Controller = vars(model)[CONTROLLER]
    if controller.compiled:
        compile_branches(model, None)
    for module in modules:
        while ORIGINAL in vars(type(module)):
            module.__class__ = vars(type(module))[ORIGINAL]
        module.__dict__.pop(SEAT, None)
        module.__dict__.pop(CONTROLLER, None)
    for path, name, rate in controller.masks:
        setattr(model.get_submodule(path), name, rate)


def compile_branches(model: nn.Module, options: dict[str, object] | None) -> None:
    """Compile the branches of all blocks with gates; None undoes it."""
    for block, seat in seats(model):
        seat.translation.compile(block, options)
    vars(model)[CONTROLLER].compiled = options is not None


def seats(model: nn.Module) -> Iterator[tuple[nn.Module, Seat]]:
    """Yield the blocks that have gates, and what they know about them."""
    for module in model.modules():
        if SEAT in vars(module):
            yield module, vars(module)[SEAT]
