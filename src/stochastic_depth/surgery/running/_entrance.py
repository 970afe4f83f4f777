"""What is looked at before a gated model runs: tools, processes, and what the caller asks for."""

import warnings
from typing import Any

import torch
from torch import nn
from torch.jit._trace import is_tracing

from ..._errors import Unsupported
from .._takeover import second_dropper, without_cache
from ._controller import Controller
from ._ranks import agree, check_processes


def before_draw(
    model: nn.Module, controller: Controller, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Look at what surrounds a training forward; return its keyword arguments."""
    check_processes(model, controller.options)
    _look_for_second_dropper(model, controller)
    controller.step = agree(model, controller.options, controller.step)
    return without_cache(model, args, kwargs)


def _look_for_second_dropper(model: nn.Module, controller: Controller) -> None:
    """Warn once if the model drops layers by itself again."""
    if "dropper" in controller.warned or not (name := second_dropper(model, controller.rates)):
        return
    controller.warned.add("dropper")
    warnings.warn(
        f"{type(model).__name__} drops layers twice: its own {name} was switched on after "
        "stochastic_depth.apply, which had set it to 0. Set it to 0 again.",
        stacklevel=2,
    )


def products(model: nn.Module, controller: Controller, kwargs: dict[str, Any]) -> str:
    """Return why dropped blocks run: what a caller asks of every layer cannot be left out."""

    def asked(name: str) -> bool:
        return bool(kwargs.get(name, getattr(getattr(model, "config", None), name, False)))

    if asked("output_attentions"):
        return "the attention of every layer was asked for (output_attentions=True)"
    forced = None if controller.forced is None else controller.forced.gates
    each = controller.options.per != "batch" if forced is None else forced.ndim == 2
    if each and asked("output_router_logits"):  # per batch, those of the layers that run will do
        return "the router of every sample was asked for (output_router_logits=True)"
    return ""


def look_at_tools(model: nn.Module) -> None:
    """Refuse tools that would freeze one draw."""
    # In evaluation gates are fixed numbers of the law, which may well be frozen.
    if model.training and (is_tracing() or torch.compiler.is_exporting()):
        raise Unsupported(
            "torch.jit.trace and torch.export would freeze one draw of the gates of "
            f"{type(model).__name__}. Call model.eval() first, or extract the subnetwork that you "
            "want with stochastic_depth.extract."
        )
