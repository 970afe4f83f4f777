"""See with which arguments a model calls its blocks."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from ..._errors import Unsupported
from ..translation import Call, cloned, isolated_rng
from ._example import example_inputs


def observe(
    model: nn.Module, modules: Mapping[str, nn.Module], example: Any | None
) -> dict[str, Call]:
    """Return the first call of each of `modules`, in the order of the calls.

    The model runs once, in evaluation mode and without gradients; its modes and the
    random generators are given back as they were.

    Args:
        model: the model.
        modules: what to watch, by path.
        example: an input of the model, a tuple of inputs, or None for a guess.

    Raises:
        Unsupported: no guess is an input that the model takes.
    """
    tried = []
    for inputs in example_inputs(model, example):
        calls: dict[str, Call] = {}
        try:
            with torch.no_grad(), isolated_rng(model), evaluation_mode(model), ExitStack() as stack:
                stack.enter_context(warnings.catch_warnings(action="ignore"))  # it is a trial
                for path, module in modules.items():
                    stack.enter_context(_watched(path, module, calls))
                model(*inputs)
        except Exception as error:
            if example is not None:
                raise
            tried.append(f"{tuple(inputs[0].shape)}: {_brief(error)}")
        else:
            return calls
    raise Unsupported(
        f"{type(model).__name__} must run on an example to find its blocks; it takes none of "
        f"{'; '.join(tried)}. Pass example=<an input of the model>."
    )


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode for a while; each module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _watched(path: str, module: nn.Module, calls: dict[str, Call]) -> Iterator[None]:
    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if path not in calls:
            call = Call.of(args, kwargs)
            # Later layers may change the tensor in place.
            calls[path] = Call(cloned(call.live), call.pattern)

    hook = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _brief(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:80] if str(error) else type(error).__name__
