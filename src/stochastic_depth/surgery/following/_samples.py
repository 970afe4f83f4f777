"""Which arguments of a block have a row for each sample, and whether samples may be run apart."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...blocks import Gate, Rows
from .._frame import Frame
from ._observe import copied
from ._pattern import Arguments, Known
from ._trial import brief, equal, run_block, under_frame
from ._units import Unit
from ._untouched import in_mode

NOT_FIRST = "its samples are not the first dimension"
ONE_SIZE = "the example runs at one batch size only, so that its samples cannot be told"


def batched_leaves(sizes: Sequence[Arguments]) -> tuple[bool, ...]:
    """Return which leaves have a first dimension that grows with the batch."""
    if len(sizes) < 2 or len(sizes[0].leaves) != len(sizes[1].leaves):
        return tuple(False for _ in sizes[0].leaves)
    pairs = zip(sizes[0].leaves, sizes[1].leaves, strict=True)
    return tuple(isinstance(a, Tensor) and a.ndim > 0 and len(a) != len(b) for a, b in pairs)


def guessed_rows(arguments: Arguments, x: Tensor | None) -> tuple[bool, ...]:
    """Guess the same from sizes; the guess is checked by running samples apart."""
    size = len(x) if isinstance(x, Tensor) and x.ndim else 0
    return tuple(
        isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == size and size > 0
        for leaf in arguments.leaves
    )


def row_fault(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    sizes: Sequence[Arguments],
    known: Known,
    weights: dict[str, Tensor] | None,
) -> str:
    """Return why samples cannot be run apart, or an empty string."""
    if weights is not None:
        if len(sizes) < 2:
            return ONE_SIZE
        if fault := not_first(sizes, known):
            return fault
    arguments = sizes[-1]
    rows = [leaf for leaf, batched in zip(arguments.leaves, known.batched, strict=True) if batched]
    if not rows:
        return f"{NOT_FIRST} of its input"
    size = len(rows[0])
    if size < 2:
        return "" if weights is None else ONE_SIZE
    if rows[0].device.type == "meta":
        return ""
    index = torch.tensor([size - 1], device=rows[0].device)
    some = [
        leaf.index_select(0, index) if batched else leaf
        for leaf, batched in zip(arguments.leaves, known.batched, strict=True)
    ]
    try:
        with torch.no_grad(), in_mode(block, False):
            whole = run_block(block, kind, arguments, copied(arguments.leaves), weights)
            apart = run_block(block, kind, arguments, copied(some), weights)
    except Exception as error:  # as above
        return f"it fails on some of its samples ({brief(error)})"
    pairs = list(zip(pytree.tree_leaves(whole), pytree.tree_leaves(apart), strict=True))
    for a, b in pairs:
        if isinstance(a, Tensor) and (a.ndim == 0 or len(a) != size or not equal(a[-1:], b)):
            return "its samples depend on each other"
    return ""


def apart(
    unit: Unit,
    number: int,
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    weights: dict[str, Tensor],
) -> bool:
    """Return whether a branch gives the same on some samples as on all of them, masked.

    What a block does between its children may hold on to the number of samples it was given.
    """
    first = next(leaf for leaf in arguments.leaves if isinstance(leaf, Tensor) and leaf.ndim)
    if first.device.type == "meta":
        return True
    size, count = len(first), len(unit.branches)
    index = torch.tensor([size - 1], device=first.device)
    every = torch.zeros(size, device=first.device).index_fill(0, index, 1.0)
    outputs = []
    for gate in (Rows(index, 1.0), every):
        gates: list[Gate] = [gate if other == number else 1.0 for other in range(count)]
        frame = Frame(0, gates, [True] * count)
        frame.size = size
        leaves = copied(arguments.leaves)
        try:
            with torch.no_grad(), in_mode(block, False), under_frame(unit, block, frame):
                outputs.append(run_block(block, kind, arguments, leaves, weights))
        except Exception:  # as above
            return False
    return equal(*outputs)


def not_first(sizes: Sequence[Arguments], known: Known) -> str:
    for a, b in zip(sizes[0].leaves, sizes[1].leaves, strict=True):
        if isinstance(a, Tensor) and a.shape != b.shape:
            grown = [d for d, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if m != n]
            if grown != [0]:
                return f"{NOT_FIRST} of its input: they are dimension {grown[0] if grown else '?'}"
            if len(b) - len(a) != 1:
                return f"{NOT_FIRST} of its input: it has {len(b) - len(a)} rows for each"
    return ""
