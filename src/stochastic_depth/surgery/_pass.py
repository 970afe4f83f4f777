"""The gates of one forward pass."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .._errors import Unsupported
from .._typing import Gates
from ..blocks import Execution, Gate, lower


@dataclass(eq=False)
class Pass:
    """What the blocks of a model run under, from the start of a forward to its end.

    Attributes:
        execution: how blocks run, see `blocks.lower`.
        gates: shape (L,) or (L, N); None while no block has needed any.
        forced: whether the gates hold for blocks in evaluation mode, too.
    """

    execution: Execution
    gates: Gates | None = None
    forced: bool = False
    _lowered: list[Gate] = field(default_factory=list)

    def lowered(self, x: Tensor | None) -> list[Gate]:
        """Return one executable gate per entry, for a block that runs on `x`."""
        assert self.gates is not None  # noqa: S101  # the controller has drawn them
        if not self._lowered:
            device = None if x is None else x.device
            self._lowered = lower(self.gates, self.execution, device=device)
        if self.gates.ndim == 2 and x is not None:
            _check_batch(x, self.gates.shape[1])
        return self._lowered


def _check_batch(x: Tensor, size: int) -> None:
    if x.ndim == 0 or x.shape[0] != size:
        raise Unsupported(
            f"With gates per sample the first dimension of a block's input must be the {size} "
            f"samples of the batch; this one has shape {tuple(x.shape)}. Use per='batch'."
        )


def first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the first tensor among the arguments of a call; its first dimension is N."""
    if args and isinstance(args[0], Tensor):
        return args[0]
    leaves = pytree.tree_leaves((args, kwargs))
    return next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)


def in_backward() -> bool:
    """Return whether autograd is running a backward pass in this thread."""
    return torch._C._current_graph_task_id() != -1
