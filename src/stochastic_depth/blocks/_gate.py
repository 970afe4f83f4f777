"""The gate of one block, ready to execute."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from .._checks import fail, one_of
from .._typing import Gates

Execution = Literal["auto", "mask", "skip", "gather"]
"""`"auto"` is `"skip"` for one draw per batch, `"gather"` for one per sample, and
`"mask"` for gates that require a gradient or are drawn for each example of a `vmap`."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The samples for which a block runs, and their gate.

    Attributes:
        index: sorted positions in the batch, int64, shape (k,), 0 < k <= N.
        scale: the gate of these samples: one number, or one per sample, shape (k,).

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> blocks.lower(torch.tensor([[0.0, 1.5, 2.0]]))
        [Rows(index=tensor([1, 2]), scale=tensor([1.5000, 2.0000]))]
    """

    index: Int[Tensor, " k"]
    scale: float | Tensor

    def add_scaled(self, base: Tensor, branched: Tensor, factor: float) -> Tensor:
        """Return `base + factor * scale * branched`, for k rows each."""
        if isinstance(self.scale, float):
            return torch.add(base, branched, alpha=factor * self.scale)
        return base + factor * per_sample(self.scale, branched) * branched


Gate: TypeAlias = float | Rows | Tensor
"""One block's gate; see the table in `blocks`."""


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Return `values`, shape () or (N,), in the dtype and with the dimensions of `like`."""
    moved = values.to(device=like.device, dtype=like.dtype)
    return moved.reshape(-1, *[1] * (like.ndim - 1)) if values.ndim else moved


def masked(values: Tensor, y: Tensor) -> Tensor:
    """Return `values * y`, values of shape () or (N,); what is dropped is exactly zero.

    NaN and infinity of a dropped sample become zero, too. The derivative in a gate of 0
    is still y, which `where(values == 0, 0, ...)` would lose.
    """
    factor = per_sample(values, y)
    return factor * torch.where((factor != 0) | y.isfinite(), y, 0)


def lower(
    gates: Gates, execution: Execution = "auto", *, device: torch.device | str | None = None
) -> list[Gate]:
    """Turn a gate vector into one executable gate per block.

    Args:
        gates: shape (L,) for the whole batch, or (L, N) for one gate per sample; on the
            CPU unless they are masked.
        execution: how blocks run, see `Execution`. `"skip"` needs shape (L,); under
            `"gather"` gates of shape (L,) are skipped, since all samples share one draw.
        device: where the network computes; one transfer sends the row indices there.

    Returns:
        A list of L gates. Under `"gather"` a block that all samples run with the same
        gate becomes a `float`, as does one that no sample runs (0.0).

    Raises:
        InvalidArgument: gates of another shape, or an execution that does not fit them.

    Example:
        >>> import torch
        >>> from stochastic_depth import blocks
        >>> blocks.lower(torch.tensor([1.0, 0.0]))
        [1.0, 0.0]
        >>> first, second = blocks.lower(torch.tensor([[2.0, 0.0, 2.0], [1.0, 1.0, 1.0]]))
        >>> first.index, first.scale, second
        (tensor([0, 2]), 2.0, 1.0)
    """
    one_of("execution", execution, get_args(Execution))
    if gates.ndim not in (1, 2):
        raise fail("gates", "of shape (L,) or (L, N)", f"shape {tuple(gates.shape)}")
    if execution == "mask" or (execution == "auto" and (gates.requires_grad or _mapped(gates))):
        return list(gates.to(device=device).unbind(0))
    if gates.requires_grad:
        raise fail("execution", "'mask' for gates that require a gradient", repr(execution))
    if gates.ndim == 1:
        return list(gates.tolist())
    if execution == "skip":
        raise fail("execution", "'gather' or 'mask' for gates per sample", repr(execution))
    return _lower_rows(gates, device)


def _mapped(gates: Tensor) -> bool:
    """Return whether `vmap` has given each of its examples gates of its own."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(gates):
        if functorch.is_batchedtensor(gates):
            return True
        gates = functorch.get_unwrapped(gates)
    return False


def _lower_rows(gates: Tensor, device: torch.device | str | None) -> list[Gate]:
    # One transfer and one split for all blocks: a copy to the device per block would cost
    # more than the rows it names.
    active = gates != 0
    counts = active.sum(1).tolist()
    positions = active.nonzero()[:, 1].to(device=device, non_blocking=True).split(counts)
    values = gates[active].split(counts)
    return [
        _lower_block(index, value, gates.shape[1])
        for index, value in zip(positions, values, strict=True)
    ]


def _lower_block(index: Tensor, values: Tensor, batch_size: int) -> Gate:
    if len(values) == 0:
        return 0.0
    shared = bool((values == values[0]).all())  # one number scales inside the addition
    scale = float(values[0]) if shared else values
    if shared and len(values) == batch_size:
        return scale
    return Rows(index, scale)
