"""Which arguments of a block have a row for each sample, and whether samples may be run apart."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ..._errors import Unsupported
from ...blocks import Gate, Rows
from .._frame import Frame
from ._observe import copied
from ._pattern import Arguments, Known
from ._trial import Trial, brief, equal, under_frame
from ._units import Unit
from ._untouched import in_mode, members

NOT_FIRST = "its samples are not the first dimension"
ONE_SIZE = "the example runs at one batch size only, so that its samples cannot be told"


def batched_leaves(sizes: Sequence[Arguments]) -> tuple[bool, ...]:
    """Return which leaves have a first dimension that grows with the batch."""
    if len(sizes) < 2 or len(sizes[0].leaves) != len(sizes[1].leaves):
        return tuple(False for _ in sizes[0].leaves)
    pairs = zip(sizes[0].leaves, sizes[1].leaves, strict=True)
    return tuple(isinstance(a, Tensor) and a.ndim > 0 and len(a) != len(b) for a, b in pairs)


def guessed_rows(arguments: Arguments, x: Tensor | None) -> tuple[bool, ...]:
    """Guess from sizes which leaves have a row per sample; `row_fault` checks the guess."""
    size = len(x) if isinstance(x, Tensor) and x.ndim else 0
    return tuple(
        isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == size and size > 0
        for leaf in arguments.leaves
    )


def row_fault(trial: Trial, sizes: Sequence[Arguments], known: Known) -> str:
    """Return why samples cannot be run apart, or an empty string."""
    # On the example two sizes tell; in a call of the user there is one, and it is simply tried.
    if trial.weights is not None:
        if len(sizes) < 2:
            return ONE_SIZE
        if fault := not_first(sizes):
            return fault
    arguments = sizes[-1]
    rows = [leaf for leaf, batched in zip(arguments.leaves, known.batched, strict=True) if batched]
    if not rows:
        return f"{NOT_FIRST} of its input"
    size = len(rows[0])
    if size < 2:
        # A single sample is never gathered out of a batch.
        return "" if trial.weights is None else ONE_SIZE
    if rows[0].device.type == "meta":
        return ""
    index = torch.tensor([size - 1], device=rows[0].device)
    some = [
        leaf.index_select(0, index) if batched else leaf
        for leaf, batched in zip(arguments.leaves, known.batched, strict=True)
    ]
    try:
        # In evaluation mode: alone, a sample would draw another dropout than in its batch.
        with torch.no_grad(), in_mode(trial.block, False):
            whole = trial.run(arguments, copied(arguments.leaves))
            apart = trial.run(arguments, copied(some))
    except Exception as error:  # whatever foreign code may raise is a reason, not a crash
        return f"it fails on some of its samples ({brief(error)})"
    pairs = list(zip(pytree.tree_leaves(whole), pytree.tree_leaves(apart), strict=True))
    for a, b in pairs:
        if isinstance(a, Tensor) and (a.ndim == 0 or len(a) != size or not equal(a[-1:], b)):
            return "its samples depend on each other"
    return ""


def apart(trial: Trial, number: int, arguments: Arguments) -> bool:
    """Return whether a branch gives the same on some samples as on all of them, masked.

    What a block does between its children may hold on to the number of samples it was given.
    """
    first = next(leaf for leaf in arguments.leaves if isinstance(leaf, Tensor) and leaf.ndim)
    if first.device.type == "meta":
        return True
    size, count = len(first), len(trial.unit.branches)
    index = torch.tensor([size - 1], device=first.device)
    every = torch.zeros(size, device=first.device).index_fill(0, index, 1.0)
    outputs = []
    for gate in (Rows(index, 1.0), every):
        gates: list[Gate] = [gate if other == number else 1.0 for other in range(count)]
        frame = Frame(0, gates, [True] * count, size)
        try:
            with torch.no_grad(), in_mode(trial.block, False), under_frame(trial, frame):
                outputs.append(trial.run(arguments, copied(arguments.leaves)))
        except Exception:  # as above
            return False
    return equal(*outputs)


def writes_to_itself(trial: Trial, arguments: Arguments) -> bool:
    """Return whether a forward changes attributes or buffers of the block, its children aside."""
    block = trial.block

    def state() -> tuple[Any, ...]:
        return members(block), [buffer._version for buffer in block.buffers(recurse=False)]

    def changes() -> bool:
        before = state()
        trial.forward(*arguments.call(copied(arguments.leaves)))
        return before != state()

    with torch.no_grad(), in_mode(block, True):
        return trial.trying(changes)


def require_samples_first(unit: Unit) -> None:
    """Raise unless a block keeps the samples of a batch in the first dimension.

    Raises:
        Unsupported: it names the block, and says where its samples are.
    """
    if unit.rows.startswith(NOT_FIRST):
        raise Unsupported(
            "With gates per sample the first dimension of a block's input must be the samples of "
            f"the batch; of {unit.path or unit.kind}, {unit.rows}. Use per='batch'."
        )


def not_first(sizes: Sequence[Arguments]) -> str:
    """Return where the samples are, if not in the first dimension; empty if they are."""
    if len(sizes) < 2:
        return ""
    for a, b in zip(sizes[0].leaves, sizes[1].leaves, strict=True):
        if isinstance(a, Tensor) and a.shape != b.shape:
            grown = [d for d, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if m != n]
            if grown != [0]:
                return f"{NOT_FIRST} of its input: they are dimension {grown[0] if grown else '?'}"
            # Windows and patches are several rows per sample: row numbers are no sample numbers
            # there.
            if len(b) - len(a) != 1:
                return f"{NOT_FIRST} of its input: it has {len(b) - len(a)} rows for each"
    return ""
