"""What a block leaves for others beside its output: caches, losses, attention maps."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ._observe import copied
from ._pattern import Arguments
from ._trial import Trial, brief
from ._units import Unit
from ._untouched import in_mode, untouched

OPAQUE = "it is given an object that it may change for others, such as a cache"


def kept_for_others(trial: Trial, arguments: Arguments) -> str:
    """Return what a block leaves for others beside its output, in words; empty if nothing."""
    unit, block = trial.unit, trial.block
    before = [_marks(leaf) for leaf in arguments.leaves]
    held = _held(block)
    with untouched(block), in_mode(block, True):
        try:
            given = arguments.call(copied(arguments.leaves))
            contents = _contents(given)
            # Looked at inside: afterwards the attributes are what they were before.
            holding = trial.trying(lambda: _held_after(trial, given))
            changed = _contents(given) != contents
        except Exception as error:  # whatever foreign code may raise is a reason, not a crash
            return f"in training mode it fails on the example ({brief(error)})"
    new = {name for name, marks in holding.items() if marks - held.get(name, set())}
    if new:
        return f"it keeps a tensor with a gradient for others: {', '.join(sorted(new))}"
    changed = changed or [_marks(leaf) for leaf in arguments.leaves] != before
    if not changed:
        unit.harmless |= {type(leaf) for leaf in (*arguments.leaves, *arguments.containers)}
    return OPAQUE if changed else ""


def _held_after(trial: Trial, given: Any) -> dict[str, set[int]]:
    output = trial.forward(*given)
    found = _held(trial.block)
    del output  # until here: another tensor could have its identity
    return found


def _contents(given: Any) -> Any:
    """Return what tells whether something was put into a container, or taken out of it."""
    leaves, form = pytree.tree_flatten(given)
    return form, [id(leaf) for leaf in leaves]


def _held(block: nn.Module) -> dict[str, set[int]]:
    """Return the tensors with a gradient that modules hold as plain attributes."""
    found: dict[str, set[int]] = {}
    for path, module in block.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name in nn.Module().__dict__:
                continue
            tensors = {
                id(leaf)
                for leaf in pytree.tree_leaves(value if not isinstance(value, nn.Module) else ())
                # Without a gradient it enters no loss.
                if isinstance(leaf, Tensor) and leaf.requires_grad
            }
            if tensors:
                found[f"{path}.{name}" if path else name] = tensors
    return found


def _marks(value: Any, depth: int = 4) -> Any:
    """Return what tells whether an object was changed: whatever it holds, by identity."""
    if isinstance(value, Tensor):
        # The version counts changes in place, which leave the identity as it is.
        return id(value), value._version
    if depth == 0 or isinstance(value, str | int | float | type(None)):
        return id(value)
    if isinstance(value, dict):
        return {key: _marks(entry, depth - 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_marks(entry, depth - 1) for entry in value]
    return _marks(vars(value), depth - 1) if hasattr(value, "__dict__") else id(value)


def harmless(unit: Unit, arguments: Arguments) -> bool:
    return all(
        type(leaf) in unit.harmless or isinstance(leaf, Tensor | int | float | str | type(None))
        for leaf in (*arguments.leaves, *arguments.containers)
    )


def fills_containers(trial: Trial, arguments: Arguments) -> bool:
    """Return whether a block changes a list or a dictionary that it is given."""
    if not arguments.containers:
        return False
    given = arguments.call(copied(arguments.leaves))
    before = _contents(given)
    with torch.no_grad():
        trial.trying(lambda: trial.forward(*given))
    return bool(_contents(given) != before)
