"""The gates of one forward pass, and how a backward pass finds them again."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from ..._errors import Unsupported
from ..._typing import Gates
from ...blocks import Execution, Gate, lower


@dataclass(eq=False)
class Pass:
    """What the blocks of a model run under, from the start of a forward to its end.

    Attributes:
        execution: how blocks run, see `blocks.lower`.
        gates: shape (L,) or (L, N); None while no block has needed any.
        forced: whether the gates hold for blocks in evaluation mode, too.
        implicit: whether it was opened by a block, and no forward of the model is running.
        products: why dropped blocks run all the same; empty if they do not.
        zeros: whose parameters get a gradient of zero if dropped; None while nobody has asked.
        calls: how often each block was called so far.
    """

    execution: Execution
    gates: Gates | None = None
    forced: bool = False
    implicit: bool = False
    products: str = ""
    zeros: list[bool] | None = None
    calls: dict[int, int] = field(default_factory=dict)
    _lowered: list[Gate] = field(default_factory=list)

    def lowered(self, x: Tensor | None) -> list[Gate]:
        """Return one executable gate per entry, for a block that runs on `x`."""
        assert self.gates is not None  # noqa: S101  # the controller has drawn them
        # Once per pass: with rows it is a transfer to the device.
        if not self._lowered:
            device = None if x is None else x.device
            self._lowered = lower(self.gates, self.execution, device=device)
        if self.gates.ndim == 2 and x is not None:
            _check_batch(x, self.gates.shape[1])
        return self._lowered

    def next_call(self, block: int) -> int:
        """Count a call of a block, and return which one it is."""
        number = self.calls.get(block, 0)
        self.calls[block] = number + 1
        return number


@dataclass(eq=False)
class Memory:
    """What a block, or a child of one, ran under when it was given a tensor, and in which call.

    Activation checkpointing runs blocks again during the backward pass, on the very memory
    that they were given in the forward pass. By then another forward may have drawn other
    gates; the memory tells.
    """

    entries: dict[int, list[tuple[StorageWeakRef, int, Any, int]]] = field(default_factory=dict)

    def note(self, x: Tensor | None, owner: int, running: Any, call: int) -> None:
        """Remember that a block or child was given `x` while a pass or frame was running."""
        if (key := _storage(x)) is not None:
            # Weak: memory must not outlive its tensor, and used again it is another tensor's.
            weak = StorageWeakRef(x.untyped_storage())  # type: ignore[union-attr]
            self.entries.setdefault(key, []).append((weak, owner, running, call))

    def find(self, x: Tensor | None, owner: int, likely: Any = None) -> tuple[Any, int] | None:
        """Return under what, and in which call, it was given `x`; the likely one if several."""
        key = _storage(x)
        found = [
            (running, call)
            for weak, given, running, call in self.entries.get(key, ())  # type: ignore[arg-type]
            if given == owner and not weak.expired()
        ]
        preferred = [entry for entry in found if entry[0] is likely]
        return (preferred or found)[-1] if found else None

    def forget(self) -> None:
        """Forget what was freed."""
        for key, entries in list(self.entries.items()):
            kept = [entry for entry in entries if not entry[0].expired()]
            if kept:
                self.entries[key] = kept
            else:
                del self.entries[key]


def _storage(x: Tensor | None) -> int | None:
    # Within vmap and grad a tensor is a wrapper, which has no storage.
    if x is None or torch._C._functorch.maybe_current_level() is not None:
        return None
    try:
        return x.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # tensors without memory of their own
        return None


def _check_batch(x: Tensor, size: int) -> None:
    if x.is_nested:
        raise Unsupported(
            "Gates per sample need a batch whose samples have one shape; this one is nested. "
            "Use per='batch'."
        )
    if x.ndim == 0 or x.shape[0] != size:
        raise Unsupported(
            f"With gates per sample the first dimension of a block's input must be the {size} "
            f"samples of the batch; this one has shape {tuple(x.shape)}. Use per='batch', or "
            "apply stochastic depth to each part that has a batch of its own."
        )


def in_backward() -> bool:
    """Return whether autograd is running a backward pass in this thread."""
    # There is no public way to ask.
    return torch._C._current_graph_task_id() != -1
