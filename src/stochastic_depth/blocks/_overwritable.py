"""Whether the memory of a gradient may be written over.

The autograd engine adds two gradients in place when nobody else refers to the first of
them, and counts references to know. So is it done here, for a gradient that arrives in
the `backward` of a function of ours. Whoever still needs that gradient (a hook, a
`retain_grad`, `torch.autograd.grad` of an inner tensor, the other term of a sum) holds
one reference more than the engine does, to the Python object, to the tensor behind it or
to its memory.
"""

import sys
from functools import cache
from threading import Thread
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Both are internals of PyTorch. Without them gradients are copied.
COUNTABLE = hasattr(Tensor, "_use_count") and hasattr(torch._C, "_storage_Use_Count")


def overwritable(grad: Tensor) -> bool:
    """Say whether only the engine and its receiver refer to a gradient.

    Args:
        grad: as the `backward` of a function received it, which calls this itself.

    Returns:
        False also where it cannot be known: when gradients are differentiated in turn,
        under compilation, for batches of gradients, for classes derived from `Tensor`, and
        beyond the CPU, where other threads run the engine.
    """
    if not COUNTABLE or type(grad) is not Tensor or grad.device.type != "cpu":
        return False
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    try:
        return _references(grad) == _least_references()
    except NotImplementedError:  # what `vmap` batches has no memory that could be asked for
        return False


def _references(grad: Tensor) -> tuple[int, int, int]:
    memory = torch._C._storage_Use_Count(grad.untyped_storage()._cdata)
    return sys.getrefcount(grad), grad._use_count(), memory


@cache
def _least_references() -> tuple[int, int, int]:
    """Count the references to a gradient that nobody keeps, on this Python and PyTorch."""
    counted: list[tuple[int, int, int]] = []

    def count(grad: Tensor) -> None:  # a call of a function, as `overwritable` is
        counted.append(_references(grad))

    class Receiver(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            count(grad)
            return grad

    def run() -> None:
        x = torch.ones(2, requires_grad=True)
        Receiver.apply(Receiver.apply(x) * 1.0).sum().backward()

    # A new thread is free of the modes of this one: inference, autocast, transforms.
    thread = Thread(target=run)
    thread.start()
    thread.join()
    return min(counted)
