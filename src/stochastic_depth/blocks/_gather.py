"""Run a function on some samples of a batch, at the cost of those samples.

Plain indexing is slow for three reasons (1.3 to 1.9 times the ideal on a ResNet-110,
batch 128). It loses the channels-last layout, so every later convolution converts back;
its backward pass fills and adds a gradient of the whole batch for each use; and it copies
element by element where rows are contiguous. Here samples are rows of a matrix view, and
both gradients of the batch are written into one copy of it.

Each function also has the rules of `torch.func`. They move the dimension of `vmap` behind
that of the samples, where it is part of a row.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.autograd import Function

from .._checks import fail
from .._errors import Unsupported

Dims: TypeAlias = tuple[int | None, ...]
"""Position of the `vmap` dimension in each argument; None where there is none."""


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
    if torch.compiler.is_compiling():  # it fuses indexing but not our functions
        return x.index_select(0, index)
    return _Take.apply(x, index, _layout(x))


def replace_rows(
    x: Shaped[Tensor, "N *rest"],
    index: Int[Tensor, " k"],
    function: Callable[[Tensor], Tensor],
) -> Shaped[Tensor, "N *rest"]:
    """Return `x` with the samples at `index` replaced by `function(x[index])`.

    Besides running `function` on k samples, forward and backward each copy the batch once.
    `x` itself does not change.

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
    compiling = torch.compiler.is_compiling()
    rest, rows = (x, take_rows(x, index)) if compiling else _Split.apply(x, index, _layout(x))
    replacement = function(rows)
    if replacement.shape != rows.shape:
        given = f"shape {tuple(replacement.shape)}"
        raise fail("function(rows)", f"of shape {tuple(rows.shape)}, like the rows", given)
    # Under autocast a branch may compute in another dtype than the stream.
    rest = rest.to(replacement.dtype)
    if compiling:
        return rest.index_copy(0, index, replacement)
    return _Merge.apply(rest, replacement, index, _layout(x))


# In the functions below `layout` is the memory format of the batch in the forward pass. A
# gradient in another format would slow down every earlier layer, so it is converted where
# it is copied anyway.


class _Take(Function):
    """x -> x[index]."""

    @staticmethod
    def forward(x: Tensor, index: Tensor, layout: torch.memory_format) -> Tensor:
        return _select(x, index, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, index, ctx.layout = inputs
        ctx.shape = x.shape
        _save(ctx, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        # One zero for all, since `_Put` copies it anyway. Made from the gradient, it is
        # batched under `vmap` if the gradient is.
        zeros = grad.new_zeros(()).expand(ctx.shape)
        return _Put.apply(zeros, grad, index, ctx.layout), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (index,) = ctx.saved_tensors
        return _Take.apply(tangent, index, ctx.layout)

    @staticmethod
    def vmap(info: Any, in_dims: Dims, x: Tensor, index: Tensor, _: Any) -> tuple[Tensor, int]:
        x = _behind(x, in_dims[0], info.batch_size)
        return _Take.apply(x, _shared(index, in_dims[1]), _layout(x)), 1


class _Split(Function):
    """x -> (x, x[index]); only for use with `_Merge`."""

    @staticmethod
    def forward(x: Tensor, index: Tensor, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
        return x.view_as(x), _select(x, index, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, index, ctx.layout = inputs
        _save(ctx, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_rows: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return _Put.apply(grad, grad_rows, index, ctx.layout), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> tuple[Tensor, Tensor]:
        (index,) = ctx.saved_tensors
        return tangent.view_as(tangent), _Take.apply(tangent, index, ctx.layout)

    @staticmethod
    def vmap(
        info: Any, in_dims: Dims, x: Tensor, index: Tensor, _: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        x = _behind(x, in_dims[0], info.batch_size)
        return _Split.apply(x, _shared(index, in_dims[1]), _layout(x)), (1, 1)


class _Put(Function):
    """(x, rows) -> x with `rows` at `index`."""

    @staticmethod
    def forward(x: Tensor, rows: Tensor, index: Tensor, layout: torch.memory_format) -> Tensor:
        return _put(x, index, rows, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *_, index, ctx.layout = inputs
        _save(ctx, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        rows = _Take.apply(grad, index, ctx.layout)
        rest = _Put.apply(grad, torch.zeros_like(rows), index, ctx.layout)
        return rest, rows, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, tangent_rows: Tensor, *_: None) -> Tensor:
        (index,) = ctx.saved_tensors
        return _Put.apply(tangent, tangent_rows, index, ctx.layout)

    @classmethod
    def vmap(
        cls, info: Any, in_dims: Dims, x: Tensor, rows: Tensor, index: Tensor, _: Any
    ) -> tuple[Tensor, int]:
        x, rows = (
            _behind(value, dim, info.batch_size)
            for value, dim in zip((x, rows), in_dims[:2], strict=True)
        )
        return cls.apply(x, rows, _shared(index, in_dims[2]), _layout(x)), 1


class _Merge(_Put):
    """`_Put` that leaves the gradient of x unmasked at `index`, where it should be zero.

    That saves a copy: `_Split`, the only function that receives this gradient, overwrites
    these samples with its own.
    """

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (index,) = ctx.saved_tensors
        return grad, _Take.apply(grad, index, ctx.layout), None, None


def _save(ctx: Any, index: Tensor) -> None:
    # Backward and forward-mode derivatives read different stores.
    ctx.save_for_backward(index)
    ctx.save_for_forward(index)


def _behind(x: Tensor, dim: int | None, size: int) -> Tensor:
    """Move the dimension of `vmap` to second place; repeat a tensor that has none."""
    return x.unsqueeze(1).expand(-1, size, *x.shape[1:]) if dim is None else x.movedim(dim, 1)


def _shared(index: Tensor, dim: int | None) -> Tensor:
    if dim is not None:
        raise Unsupported(
            "index must be the same for all that torch.func.vmap maps over: samples are "
            "gathered by positions that differ. Use execution='mask'."
        )
    return index


def _layout(x: Tensor) -> torch.memory_format:
    try:
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            return torch.channels_last
        if x.ndim == 5 and x.is_contiguous(memory_format=torch.channels_last_3d):
            return torch.channels_last_3d
    except RuntimeError:  # inside `vmap`, which hides a dimension
        pass
    return torch.contiguous_format


def _matrix(x: Tensor) -> Tensor:
    """View a batch that is dense in its layout as (N, everything else)."""
    # `view` would refuse channels-last, although each sample is one stretch of memory.
    width = x.shape[1:].numel()
    return x.as_strided((len(x), width), (width, 1), x.storage_offset())


def _select(x: Tensor, index: Tensor, layout: torch.memory_format) -> Tensor:
    if not _has_memory(x):
        return x.index_select(0, index)
    x = x.contiguous(memory_format=_layout(x))  # a slice of a larger tensor is not dense
    rows = _matrix(x).index_select(0, index)
    return rows.as_strided((len(index), *x.shape[1:]), x.stride()).contiguous(memory_format=layout)


def _put(x: Tensor, index: Tensor, rows: Tensor, layout: torch.memory_format) -> Tensor:
    if not (_has_memory(x) and _has_memory(rows)):
        return x.index_copy(0, index, rows)
    whole = x.clone(memory_format=layout)
    target, source = _wide(_matrix(whole), _matrix(rows.contiguous(memory_format=layout)))
    target.index_copy_(0, index, source)
    return whole


def _has_memory(x: Tensor) -> bool:
    """Return False for gradients of `torch.autograd.grad(..., is_grads_batched=True)`.

    Like tensors under `vmap` they hide a dimension, but PyTorch does not call our `vmap`
    rules for them.
    """
    try:
        x.untyped_storage()
    except NotImplementedError:
        return False
    return True


def _wide(*matrices: Tensor) -> tuple[Tensor, ...]:
    """View matrices with fewer, wider elements, which are copied bit by bit.

    `index_copy_` takes a time per element: on the CPU 16 bytes cost as much as 4.
    """
    width, size = matrices[0].shape[1], matrices[0].element_size()
    # A function may return rows that start in the middle of another tensor's memory.
    starts = [matrix.storage_offset() for matrix in matrices]
    aligned = all((number * size) % 16 == 0 for number in (width, *starts))
    return tuple(m.view(torch.complex128) for m in matrices) if aligned else matrices
