"""Run a model twice, at two batch sizes: what it computes, and where its samples are."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from ..._errors import Unsupported
from ._example import Inputs, candidates, with_one_more
from ._recorder import record
from ._recording import Recording
from ._untouched import in_mode, isolated_rng, untouched, without_fast_paths


@dataclass(eq=False)
class Seen:
    """One call of a module, with its tensors.

    Attributes:
        args: positional arguments, copied.
        kwargs: keyword arguments, copied.
        output: what it returned, as it is.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None


@dataclass(eq=False)
class Observation:
    """What a model did on an example.

    Attributes:
        recording: of the smaller batch.
        calls: of every module, by path, at the smaller batch size.
        larger: the same for one sample more; empty if the model takes one size only.
        size: samples in the smaller batch; 0 if that is not known.
        inputs: the smaller batch.
    """

    recording: Recording
    calls: dict[str, list[Seen]]
    larger: dict[str, list[Seen]]
    size: int
    inputs: Inputs = field(repr=False)


def with_shapes(model: nn.Module, example: Any | None) -> nn.Module:
    """Return a model, or a copy of it whose lazy layers have got their shapes on an example.

    Those of the model itself get theirs in the first forward of its user, which may be of
    another size.
    """
    if not any(is_lazy(x) for x in (*model.parameters(), *model.buffers())):
        return model
    for inputs in candidates(model, example):
        copy = deepcopy(model)
        try:
            with isolated_rng(model), in_mode(copy, False), torch.no_grad():
                copy(*inputs.args, **inputs.kwargs)
        except Exception:  # noqa: S112  # `observe` says what no example fits
            continue
        return copy
    return model


def observe(model: nn.Module, example: Any | None) -> Observation:
    """Run `model` on an example, in evaluation mode; it is left as it is.

    Raises:
        Unsupported: no guess is an input that the model takes, or it has no forward.
    """
    _require_forward(model)
    tried = []
    for inputs in candidates(model, example):
        try:
            calls: dict[str, list[Seen]] = {}
            recording = _recorded(model, inputs, calls)
        except Exception as error:
            # The user's example is no guess: its own error says more than a list of trials.
            if example is not None:
                raise
            tried.append(f"{inputs}: {_brief(error)}")
        else:
            larger, size = _at_another_size(model, inputs)
            return Observation(recording, calls, larger, size, inputs)
    raise Unsupported(
        f"{type(model).__name__} must run on an example to find its blocks; it takes none of "
        f"{'; '.join(tried)}. Pass example=<an input of the model>."
    )


def _require_forward(model: nn.Module) -> None:
    """Refuse what is never called itself, such as a Lightning module that trains a network."""
    if getattr(model.forward, "__func__", None) is nn.Module.forward:
        inside = [
            f"model.{name} ({type(child).__name__})" for name, child in model.named_children()
        ]
        raise Unsupported(
            f"{type(model).__name__} must have a forward, by which its blocks are found; it has "
            f"none. Apply stochastic depth to what it trains: {' or '.join(inside) or 'nothing'}."
        )


def _recorded(model: nn.Module, inputs: Inputs, calls: dict[str, list[Seen]]) -> Recording:
    state = _state(model)
    with _trial(model), _watched(model, calls):
        return record(model, lambda: functional_call(model, state, *_given(model, inputs)), state)


def _at_another_size(model: nn.Module, inputs: Inputs) -> tuple[dict[str, list[Seen]], int]:
    """Return the calls with one sample more, and the size before; nothing if that fails."""
    for more in with_one_more(inputs):
        calls: dict[str, list[Seen]] = {}
        try:
            with _trial(model), _watched(model, calls):
                functional_call(model, _state(model), *_given(model, more))
        except Exception:  # noqa: S112  # not every model takes every size: then no samples are known
            continue
        return calls, more.size
    return {}, 0


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters, and copies of the buffers for the trial to change."""
    state = {name: p for name, p in model.named_parameters() if not is_lazy(p)}
    return state | {name: b.detach().clone() for name, b in model.named_buffers() if not is_lazy(b)}


def _given(model: nn.Module, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    from .._takeover import without_cache  # knows the arguments of other libraries

    return inputs.args, without_cache(model, inputs.args, inputs.kwargs)


@contextmanager
def _trial(model: nn.Module) -> Iterator[None]:
    with untouched(model), in_mode(model, False), without_fast_paths():
        yield


@contextmanager
def _watched(model: nn.Module, calls: dict[str, list[Seen]]) -> Iterator[None]:
    def before(path: str) -> Any:
        def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.setdefault(path, []).append(Seen(copied(args), copied(kwargs)))

        return note

    def after(path: str) -> Any:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            # A module may be called within itself: the innermost open call returns first.
            waiting = [seen for seen in calls[path] if seen.output is None]
            waiting[-1].output = output

        return note

    with ExitStack() as stack:
        for path, module in model.named_modules():
            hook = module.register_forward_pre_hook(before(path), with_kwargs=True)
            stack.callback(hook.remove)
            stack.callback(module.register_forward_hook(after(path)).remove)
        yield


def copied(tree: Any) -> Any:
    """Return arguments whose tensors later layers cannot change, cut off from their graph."""
    with torch.no_grad(), _disable_current_modes():  # no operations of the model's
        return pytree.tree_map_only(Tensor, torch.clone, tree)


def _brief(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:80] if str(error) else type(error).__name__
