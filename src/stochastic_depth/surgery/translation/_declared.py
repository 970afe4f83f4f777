"""Blocks that a user describes: classes whose forward cannot be followed."""

from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._errors import Unsupported
from ...blocks import Gate, Rows, residual_step, take_rows, with_zero_grads
from ._call import Call
from ._errors import CannotTranslate
from ._joins import ShortcutKind
from ._program import Branch, is_dropped
from ._verify import cloned, jiggled, same

BranchFunction = Callable[..., Tensor]
"""(block, x, *other arguments of its forward) -> F(x)."""

PartFunction = Callable[[nn.Module, Tensor], Tensor]
"""(block, x) -> s(x), or (block, sum) -> act(sum)."""


@dataclass(frozen=True)
class Declaration:
    """What a user says that a block computes, `act(s(x) + F(x))`."""

    branch: BranchFunction
    shortcut: PartFunction | None
    activation: PartFunction | None


_DECLARED: dict[type[nn.Module], Declaration] = {}


def declare(kind: type[nn.Module], declaration: Declaration) -> None:
    """Remember how blocks of a class are computed; the last word counts."""
    _DECLARED[kind] = declaration


def is_declared(module: nn.Module) -> bool:
    """Return whether the class of `module` has been declared a block."""
    return type(module) in _DECLARED


@dataclass
class Declared:
    """Runs a block as its user declared it; see `Translation`."""

    original: type[nn.Module]
    options: dict[str, Any] | None = None

    @property
    def declaration(self) -> Declaration:
        """What the user said, in this process."""
        if self.original not in _DECLARED:
            raise Unsupported(
                f"{self.original.__name__} must be registered in this process as well: call "
                "stochastic_depth.surgery.register before the model is loaded."
            )
        return _DECLARED[self.original]

    def prepare(self, block: nn.Module, call: Call) -> tuple[Branch, ...]:
        """Check the declaration against `block`, and return its branch.

        Raises:
            CannotTranslate: the block computes something else.
        """
        twin = jiggled(block, self.original)
        args, kwargs = call.arguments(cloned(call.live))
        with torch.no_grad():
            expected = twin(*args, **kwargs)
        if not isinstance(expected, Tensor):
            raise CannotTranslate("it was registered, and returns something else than one tensor")
        args, kwargs = call.arguments(cloned(call.live))
        with torch.no_grad(), ExitStack() as stack:
            used = _children_called(twin, stack)
            actual = self.run(twin, [1.0], args, kwargs, zero_grads=False)
        if not same([expected], [actual]):
            raise CannotTranslate("it does not compute what was registered for its class")
        kind: ShortcutKind = "projection" if self.declaration.shortcut else "identity"
        return (Branch("branch", kind, tuple(used)),)

    def run(
        self,
        block: nn.Module,
        gates: Sequence[Gate],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        zero_grads: bool,
    ) -> Any:
        """Run `block` under its gate; see `Translation`."""
        (x, *others), gate, said = args, gates[0], self.declaration
        if isinstance(gate, Rows):
            others, kwargs = _rows_of((others, kwargs), gate, len(x))
        if zero_grads and is_dropped(gate):
            x = with_zero_grads(x, block.parameters())
        activation, shortcut = said.activation, said.shortcut
        return residual_step(
            x,
            lambda rows: self._function()(block, rows, *others, **kwargs),
            gate,
            shortcut=None if shortcut is None else lambda value: shortcut(block, value),
            activation=None if activation is None else lambda value: activation(block, value),
        )

    def _function(self) -> BranchFunction:
        branch = self.declaration.branch
        return branch if self.options is None else torch.compile(branch, **self.options)

    def compile(self, block: nn.Module, options: dict[str, Any] | None) -> None:
        """Compile the branch; see `Translation`."""
        self.options = options

    def fixed(self, block: nn.Module, gates: Sequence[float], shared: Set[int]) -> nn.Module:
        """Return what is left without the branch; see `Translation`."""
        said = self.declaration
        if gates[0] != 0 or said.shortcut is not None or said.activation is not None:
            raise CannotTranslate("of a registered block only the whole can be cut out")
        return Passage()


class Passage(nn.Module):
    """What is left of a block that is all branch."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return `x`."""
        return x


def _children_called(block: nn.Module, stack: ExitStack) -> dict[str, None]:
    called: dict[str, None] = {}
    for name, child in block.named_children():
        note = _noting(called, name)
        stack.callback(child.register_forward_pre_hook(note).remove)
    return called


def _noting(called: dict[str, None], name: str) -> Callable[..., None]:
    def note(*_: Any) -> None:
        called[name] = None

    return note


def _rows_of(values: Any, rows: Rows, size: int) -> Any:
    def take(value: Any) -> Any:
        batched = isinstance(value, Tensor) and value.ndim and value.shape[0] == size
        return take_rows(value, rows.index) if batched else value

    return torch.utils._pytree.tree_map(take, values)
