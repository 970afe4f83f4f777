"""The translation of the project's own blocks: there is nothing to translate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...blocks import Gate, Residual, with_zero_grads
from ._joins import ShortcutKind
from ._program import Branch, is_dropped


@dataclass
class Own:
    """Runs a `Residual`; see `Translation`."""

    original: type[nn.Module]

    def run(
        self,
        block: nn.Module,
        gates: Sequence[Gate],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        zero_grads: bool,
    ) -> Any:
        """Run `block`; a gate that the caller passes explicitly has precedence."""
        if len(args) > 1 or kwargs:
            return self.original.forward(block, *args, **kwargs)
        x, gate = args[0], gates[0]
        if zero_grads and is_dropped(gate):
            x = with_zero_grads(x, block.get_submodule("branch").parameters())
        return self.original.forward(block, x, gate)

    def compile(self, block: nn.Module, options: dict[str, Any] | None) -> None:
        """Compile the branch of `block`; see `Translation`."""
        branch = block.get_submodule("branch")
        branch._compiled_call_impl = None
        if options is not None:
            branch.compile(**options)


def branch_of(block: Residual) -> Branch:
    """Describe the one branch of an own block."""
    return Branch("branch", _shortcut_kind(block.shortcut), ("branch",))


def _shortcut_kind(shortcut: nn.Module | None) -> ShortcutKind:
    if shortcut is None:
        return "identity"
    return "resize" if next(shortcut.parameters(), None) is None else "projection"
