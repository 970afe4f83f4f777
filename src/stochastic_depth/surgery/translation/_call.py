"""One call of a block: which of its arguments flow, and which only choose the code path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

# A forward may branch on these, so a translation holds for their values alone.
FIXED = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, type(None))

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Call:
    """Arguments of a block's forward, taken apart.

    Attributes:
        live: what flows through the block, in order: tensors, and any object that is not
            a plain number, string or None.
        pattern: everything else. Two calls with equal patterns differ in `live` only.
    """

    live: tuple[Any, ...]
    pattern: tuple[pytree.TreeSpec, tuple[tuple[type, Any], ...]]

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Call":
        """Take `forward(*args, **kwargs)` apart."""
        if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
            return cls(args, _ONE_TENSOR)
        leaves, structure = pytree.tree_flatten((args, kwargs))
        live = tuple(leaf for leaf in leaves if not isinstance(leaf, FIXED))
        fixed = tuple((type(leaf), leaf) if isinstance(leaf, FIXED) else _LIVE for leaf in leaves)
        return cls(live, (structure, fixed))

    @property
    def shapes(self) -> tuple[Any, ...]:
        """The shapes of what flows; None for what has none."""
        return tuple(getattr(value, "shape", None) for value in self.live)

    def arguments(self, live: Sequence[Any]) -> Arguments:
        """Put a call of the same pattern together again, from other live values."""
        structure, fixed = self.pattern
        values = iter(live)
        leaves = [next(values) if kind is Tensor else value for kind, value in fixed]
        return pytree.tree_unflatten(leaves, structure)


_LIVE: tuple[type, Any] = (Tensor, "flows")
_ONE_TENSOR = (pytree.tree_flatten(((0,), {}))[1], (_LIVE,))
