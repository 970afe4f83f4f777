"""Run a model without leaving a trace on it."""

import random
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

CONTAINERS = (dict, list, set, OrderedDict)  # hooks are in the last


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Give everything back as it was: attributes, modes, buffers and random generators.

    What a forward writes into buffers goes to copies of them.
    """
    with (
        same_attributes(model),
        borrowed_buffers(model),
        isolated_rng(model),
        # Nobody made the calls that these warnings would be about.
        warnings.catch_warnings(action="ignore"),
    ):
        yield


@contextmanager
def borrowed_buffers(model: nn.Module) -> Iterator[None]:
    """Let what runs meanwhile write into copies of the buffers.

    Not written back: a buffer that a graph has saved must keep its version.
    """
    own = [(module, dict(module._buffers)) for module in model.modules() if module._buffers]
    for module, buffers in own:
        for name, buffer in buffers.items():
            if buffer is not None and not is_lazy(buffer):
                module._buffers[name] = buffer.detach().clone()
    try:
        yield
    finally:
        for module, buffers in own:
            module._buffers.update(buffers)


@contextmanager
def same_attributes(model: nn.Module) -> Iterator[None]:
    """Give the attributes of all modules back as they were."""
    attributes = [(module, _copied(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for module, before in attributes:
            _restore(vars(module), before)


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a module, and what the containers among them hold."""
    return {
        # Exact types only: a subclass, such as a cache, may not take its contents as an argument.
        name: (value, type(value)(value) if type(value) in CONTAINERS else None)
        for name, value in attributes.items()
    }


def _restore(attributes: dict[str, Any], before: dict[str, Any]) -> None:
    for name in attributes.keys() - before.keys():
        del attributes[name]
    for name, (value, contents) in before.items():
        attributes[name] = value
        if contents is not None and _members(value) != _members(contents):
            # The same object is refilled, because others may hold it as well.
            value.clear()
            value.extend(contents) if isinstance(value, list) else value.update(contents)


def members(module: nn.Module) -> dict[str, Any]:
    """Return what the attributes of a module are, and what the containers among them hold."""
    return {
        name: (id(value), _members(value) if type(value) in CONTAINERS else None)
        for name, value in vars(module).items()
    }


def _members(container: Any) -> list[Any]:
    if isinstance(container, dict):
        # By identity: comparing tensors with == makes tensors.
        return [(key, id(value)) for key, value in container.items()]
    return [id(value) for value in container]


@contextmanager
def unheard(block: nn.Module) -> Iterator[None]:
    """Let no forward hook of anybody else hear of what runs meanwhile.

    A trial is no forward: what collects outputs would collect them twice.
    """
    before = [(module, module._forward_hooks) for module in block.modules()]
    for module, hooks in before:
        module._forward_hooks = type(hooks)()
    try:
        yield
    finally:
        for module, hooks in before:
            module._forward_hooks = hooks


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put a model in a mode for a while; each module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = training  # `train` may be overridden, and do more than this
    try:
        yield
    finally:
        for module, before in modes:
            module.training = before


@contextmanager
def isolated_rng(model: nn.Module) -> Iterator[None]:
    """Give the random generators back as they were."""
    devices = {p.device for p in model.parameters() if p.device.type not in ("cpu", "meta")}
    # `fork_rng` wants a kind even where it forks the CPU's generator alone.
    kind = next(iter(devices)).type if devices else "cuda"
    # Some models toss their coins with Python's generator.
    state = random.getstate()
    with torch.random.fork_rng([device.index for device in devices], device_type=kind):
        try:
            yield
        finally:
            random.setstate(state)


@contextmanager
def without_fast_paths() -> Iterator[None]:
    """Have PyTorch's transformer layers run as they are written, not fused."""
    # A fused layer is one operation, in which no addition can be seen.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
