"""The translation of the project's own blocks: there is nothing to translate."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

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

    def fixed(self, block: nn.Module, gates: Sequence[float], shared: Set[int]) -> nn.Module:
        """Return `block` under a fixed gate; see `Translation`."""
        assert isinstance(block, Residual)  # noqa: S101  # this class is for those alone
        if gates[0] == 0:
            return Bypass(block)
        block.scale *= gates[0]
        return block


class Bypass(nn.Module):
    """What is left of a `Residual` without its branch: `act(s(x))`."""

    def __init__(self, block: Residual) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        self.activation = None if block.activated else block.activation

    def forward(self, x: Tensor, gate: Gate = 1.0) -> Tensor:
        """Return what passes by; there is no branch left for `gate` to govern."""
        del gate
        x = x if self.shortcut is None else self.shortcut(x)
        return x if self.activation is None else self.activation(x)


def branch_of(block: Residual) -> Branch:
    """Describe the one branch of an own block."""
    return Branch("branch", _shortcut_kind(block.shortcut), ("branch",))


def _shortcut_kind(shortcut: nn.Module | None) -> ShortcutKind:
    if shortcut is None:
        return "identity"
    return "resize" if next(shortcut.parameters(), None) is None else "projection"
