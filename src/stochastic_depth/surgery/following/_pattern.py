"""The arguments of a block's call: which tensor is which, however they were passed."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .._frame import Stub

PLAIN = (bool, str, type(None))
"""A forward may take another path for another value of these."""

NUMBERS = (int, float, complex)
"""These a forward computes with."""

Pattern = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments of one call, flattened.

    Attributes:
        leaves: tensors, numbers and anything else, in order.
        form: how they were nested.
        names: of the parameters that positional arguments belong to.
        given: the arguments themselves, with the caller's own containers.
    """

    leaves: list[Any]
    form: pytree.TreeSpec
    names: tuple[str, ...]
    given: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @classmethod
    def of(
        cls, kind: type[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "Arguments":
        """Flatten `forward(*args, **kwargs)` of a module class."""
        # By name: whether an argument comes by position or by keyword makes no other pattern.
        names = positional(kind.forward, len(args))
        leaves, form = pytree.tree_flatten(dict(zip(names, args, strict=True)) | kwargs)
        return cls(leaves, form, names, (args, kwargs))

    @property
    def pattern(self) -> Pattern:
        """What two calls have in common that differ in tensors and numbers alone."""
        return (_places(self.form), *map(_kind, self.leaves))

    @property
    def opaque(self) -> bool:
        """Whether there is an object among them that the block might change."""
        plain = (Tensor, *PLAIN, *NUMBERS)
        leaves = all(isinstance(leaf, plain) or _constant(leaf) for leaf in self.leaves)
        return not leaves or bool(self.containers)

    @property
    def containers(self) -> list[Any]:
        """The lists and dictionaries among them."""
        args, kwargs = self.given or ((), {})
        return [found for value in (*args, *kwargs.values()) for found in _containers(value)]

    @property
    def paths(self) -> list[str]:
        """Where each leaf was."""
        return list(_places(self.form))

    def positions(self, paths: Sequence[str]) -> list[int]:
        """Return where the leaves at these paths are among these, -1 for what is not here."""
        where = {path: position for position, path in enumerate(_places(self.form))}
        return [where.get(path, -1) for path in paths]

    def call(self, leaves: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments of the same form from other leaves; the given ones for its own."""
        # The caller's own containers: a block may fill a dictionary that it was given.
        if leaves is self.leaves and self.given is not None:
            return self.given
        bound = pytree.tree_unflatten(leaves, self.form)
        args = tuple(bound.pop(name) for name in self.names)
        return args, bound


@dataclass(eq=False)
class Known:
    """What is known of the calls of a block that have one pattern.

    Attributes:
        positions: for each leaf of the arguments in the example, its position here.
        batched: which leaves have one row per sample.
        masked: why the block runs when dropped; empty if it does not.
        rows: why its samples cannot be run apart; empty if they can.
        stub: of a branch that its parent adds, what stands for what it returns.
        beside: whether its shortcut has modules, and its branches can run some samples while the
            block runs all: nothing tells how many it has seen.
    """

    positions: list[int]
    batched: tuple[bool, ...] = ()
    masked: str = ""
    rows: str = ""
    stub: Stub | None = None
    beside: bool = False

    def slots(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the leaves in the order of the example."""
        return [leaves[position] if position >= 0 else None for position in self.positions]


@cache
def _places(form: pytree.TreeSpec) -> tuple[str, ...]:
    """Return where each leaf is: a list, a tuple and a `torch.Size` have the same places."""
    leaves = pytree.tree_unflatten(list(range(form.num_leaves)), form)
    return tuple(pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(leaves)[0])


@cache
def positional(forward: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Return the names of the first parameters of a module's forward."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in plain]
    names += [f"*{position}" for position in range(count - len(names))]
    return tuple(names[:count])


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, list | dict | set):
        yield value
    entries = value.values() if isinstance(value, dict) else value
    for entry in entries if isinstance(value, list | dict | tuple) else ():
        yield from _containers(entry)


def _kind(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return Tensor
    if isinstance(leaf, PLAIN):
        return leaf
    # Not its value: a position that grows with each call would be learned anew for ever.
    return float if isinstance(leaf, NUMBERS) else type(leaf)


def _constant(leaf: Any) -> bool:
    return isinstance(leaf, torch.dtype | torch.device | torch.Size | slice | range)
