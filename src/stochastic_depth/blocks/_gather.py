"""Run a function on some samples of a batch, at the cost of those samples.

Plain indexing pays three times over (measured on a ResNet-110, batch 128: 1.3 to 1.9
of the ideal time). It loses the channels-last layout, and every convolution behind it
converts back; its backward pass fills and adds a gradient of the whole batch for each
use; and it copies element by element where rows are contiguous. Here samples are rows
of a matrix view, and the two gradients of the batch meet in place.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.autograd import Function

from .._checks import fail
from ._overwritable import overwritable


def take_rows(x: Shaped[Tensor, "N *rest"], index: Int[Tensor, " k"]) -> Shaped[Tensor, "k *rest"]:
    """Return the samples `x[index]`, in the memory layout of `x`.

    Args:
        x: a batch of N samples.
        index: k distinct positions in the batch.

    Returns:
        k samples, in the order of `index`.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> blocks.take_rows(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 2]))
        tensor([[1.],
                [3.]])
    """
    return _Take.apply(x, index)


def replace_rows(
    x: Shaped[Tensor, "N *rest"],
    index: Int[Tensor, " k"],
    function: Callable[[Tensor], Tensor],
) -> Shaped[Tensor, "N *rest"]:
    """Return `x` with the samples at `index` replaced by `function(x[index])`.

    Beside `function` on k samples, forward copies the batch; so does backward where
    somebody else needs its gradient. `x` itself is left as it is.

    Args:
        x: a batch of N samples.
        index: k distinct positions in the batch.
        function: maps (k, ...) to the same shape.

    Returns:
        A batch of the shape and layout of `x`, in the dtype that `function` returns.

    Raises:
        InvalidArgument: `function` changes the shape.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> x = torch.tensor([[1.0], [2.0], [3.0]])
        >>> blocks.replace_rows(x, torch.tensor([0, 2]), lambda rows: -rows)
        tensor([[-1.],
                [ 2.],
                [-3.]])
    """
    rest, rows = _Split.apply(x, index)
    replacement = function(rows)
    if replacement.shape != rows.shape:
        given = f"shape {tuple(replacement.shape)}"
        raise fail("function(rows)", f"of shape {tuple(rows.shape)}, like the rows", given)
    # Under autocast a branch may compute in another dtype than the stream.
    return _Merge.apply(rest.to(replacement.dtype), replacement, index)


class _Take(Function):
    @staticmethod
    def forward(x: Tensor, index: Tensor) -> Tensor:
        return _select(x, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        x, index = inputs
        ctx.save_for_backward(index)
        ctx.shape, ctx.layout = x.shape, _layout(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        whole = torch.empty(
            ctx.shape, dtype=grad.dtype, device=grad.device, memory_format=ctx.layout
        )
        return _put(whole.zero_(), index, grad), None


class _Split(Function):
    """x -> (x, x[index]); used with `_Merge` alone, which see."""

    @staticmethod
    def forward(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        return x.view_as(x), _select(x, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_rows: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return _put(grad if overwritable(grad) else grad.clone(), index, grad_rows), None


class _Merge(Function):
    """(x, rows) -> x with `rows` at `index`.

    The gradient of x is zero at `index`. It is left unmasked here, because `_Split`,
    the only function that ever receives it, overwrites these samples.
    """

    @staticmethod
    def forward(x: Tensor, rows: Tensor, index: Tensor) -> Tensor:
        return _put(x.clone(), index, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])
        ctx.layout = _layout(inputs[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (index,) = ctx.saved_tensors
        # A gradient in another layout than the activations would slow every layer
        # below: it is brought back to the forward's layout once, here.
        grad = grad.contiguous(memory_format=ctx.layout)
        return grad, _select(grad, index), None


def _layout(x: Tensor) -> torch.memory_format:
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    if x.ndim == 5 and x.is_contiguous(memory_format=torch.channels_last_3d):
        return torch.channels_last_3d
    return torch.contiguous_format


def _matrix(x: Tensor) -> Tensor:
    """View a batch that is dense in its layout as (N, everything else)."""
    width = x.shape[1:].numel()
    return x.as_strided((len(x), width), (width, 1), x.storage_offset())


def _select(x: Tensor, index: Tensor) -> Tensor:
    x = x.contiguous(memory_format=_layout(x))
    rows = _matrix(x).index_select(0, index)
    return rows.as_strided((len(index), *x.shape[1:]), x.stride())


def _put(target: Tensor, index: Tensor, rows: Tensor) -> Tensor:
    """Overwrite samples of `target`, which is ours to change, and return it."""
    layout = _layout(target)
    if not target.is_contiguous(memory_format=layout):
        target = target.contiguous(memory_format=layout)
    rows = rows.contiguous(memory_format=layout)
    if torch.is_grad_enabled() and (target.requires_grad or rows.requires_grad):
        _matrix(target).index_copy_(0, index, _matrix(rows))  # for second derivatives
    else:
        _wide(_matrix(target)).index_copy_(0, index, _wide(_matrix(rows)))
    return target


def _wide(matrix: Tensor) -> Tensor:
    """View the elements of a matrix as fewer, wider ones, to be copied bit by bit.

    `index_copy_` spends its time per element: on the CPU 16 bytes cost as much as 4.
    """
    size = matrix.element_size()
    aligned = (matrix.shape[1] * size) % 16 == 0 and (matrix.storage_offset() * size) % 16 == 0
    return matrix.view(torch.complex128) if aligned else matrix
