"""Where a shortcut and a branch meet: the residual additions of a recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from ._recording import Call, Operation, Recording, Ref, Value, refs

aten = torch.ops.aten

ADDITIONS = {aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.sub_.Tensor}
"""Operations that add one tensor to another, entry by entry."""

PRODUCTS = {aten.addcmul.default, aten.addcmul_.default}
"""Operations that add a product to a tensor."""

VIEWS = {aten.view.default, aten._unsafe_view.default}
"""Operations that show all values of a tensor in another shape."""

ShortcutKind = Literal["identity", "resize", "projection"]
"""Of a shortcut: nothing happens on it; something without parameters; a learned map."""


@dataclass(frozen=True, eq=False)
class Join:
    """One residual addition, `sum = shortcut + branch`.

    Attributes:
        operation: number of the addition.
        call: number of the call that it belongs to.
        total: number of the value of the sum.
        shortcut: number of the value of one operand.
        branch: number of the value of the other.
        between: numbers of the values of the branch, from what it shares with the shortcut
            on.
        kind: of the shortcut.
        owner: the innermost call in which all of this takes place.
    """

    operation: int
    call: int
    total: int
    shortcut: int
    branch: int
    between: frozenset[int]
    kind: ShortcutKind
    owner: Call


def find_joins(recording: Recording) -> list[Join]:
    """Return the residual additions, in the order in which they happen.

    The operands of a residual addition have a common origin; the branch is the operand that
    is computed from the other, with parameters. Where neither is computed from the other (a
    projection), it is the one with more layers. It is found by where data comes from, never
    by a size.
    """
    found: list[Join] = []
    sums: dict[int, dict[int, Join]] = {}
    for number, operation in enumerate(recording.operations):
        # By call: only sums of one forward can be steps of one stream, as in x + a(x) + b(x).
        near = sums.setdefault(operation.call, {})
        if (join := _join(recording, number, near)) is not None:
            near[join.total] = join
            found.append(join)
    # Only all of them together tell: a stream moves on from block to block, a context stays.
    contexts = _contexts(recording, found)
    return [join for join in found if join.shortcut not in contexts]


def _contexts(recording: Recording, joins: list[Join]) -> set[int]:
    """Return what several calls in turn are given and add to: contexts, and no streams.

    A stream moves on: the second block adds to what the first returned.
    """
    users: dict[int, list[Join]] = {}
    for join in joins:
        if join.shortcut in join.owner.inputs:
            users.setdefault(join.shortcut, []).append(join)
    return {
        number
        for number, (first, *later) in users.items()
        if any(_follows(recording, join, first) for join in later)
    }


def _follows(recording: Recording, join: Join, earlier: Join) -> bool:
    """Return whether an addition in another call is computed from an earlier one."""
    # A block with parallel branches adds to its input twice, too: only another block counts.
    apart = join.owner.number not in earlier.owner.stack
    apart = apart and earlier.owner.number not in join.owner.stack
    return apart and _contains(recording.values[join.branch].ancestors, earlier.total)


def _join(recording: Recording, number: int, sums: dict[int, Join]) -> Join | None:
    """Return the residual addition that an operation is, given those before it in its call."""
    operation = recording.operations[number]
    operands = _operands(recording, operation)
    if operands is None:
        return None
    shortcut, branch, origin, kind = _sides(recording, *operands, sums)
    if origin is None:
        return None
    between = _between(recording, origin, branch)
    if not _learned(recording, between):
        return None
    # If no single call sees the branch from end to end, its owner is the call around all of it.
    owner, inside = _inside(recording, operation, origin, shortcut, branch, between) or (
        _owner(recording, {*between, *_between(recording, origin, shortcut)}, operation),
        frozenset(between),
    )
    total = operation.outputs[-1]
    return Join(number, operation.call, total, shortcut, branch, inside, kind, owner)


def _sides(
    recording: Recording, first: int, second: int, sums: dict[int, Join]
) -> tuple[int, int, int | None, ShortcutKind]:
    """Return shortcut and branch of an addition, where they part, and the kind of shortcut."""
    values = recording.values
    found = [
        (origin, shortcut, branch, kind)
        for shortcut, branch in ((first, second), (second, first))
        for origin, kind in _stream(recording, shortcut, sums)
        if _contains(values[branch].ancestors, origin)
    ]
    if found:
        # The latest origin: in x1 = x + a(x), x1 + b(x1) the second branch starts at x1, not at x.
        latest, shortcut, branch, kind = max(found)
        return shortcut, branch, latest, kind
    origin = _latest(recording, values[first].ancestors & values[second].ancestors)
    if origin is None:
        return first, second, None, "identity"
    shortcut, branch = sorted((first, second), key=lambda side: _extent(recording, origin, side))
    for side in (shortcut, branch):
        *_, (start, _) = _stream(recording, side, sums)
        if not _contains(values[start].ancestors, origin):  # a stream that comes from elsewhere
            return first, second, None, "identity"
    # Without parameters (a pooling, a crop) a block can be dropped like one with an identity.
    learned = _learned(recording, _between(recording, origin, shortcut))
    return shortcut, branch, origin, "projection" if learned else "resize"


def _stream(
    recording: Recording, number: int, sums: dict[int, Join]
) -> Iterator[tuple[int, ShortcutKind]]:
    """Yield a value, and what it was before branches were added: x of x + a(x), for + b(x).

    And what it is a view of: a linear layer sees a batch of sequences as one of vectors.
    """
    kind: ShortcutKind = "identity"
    while True:
        yield number, kind
        value = recording.values[number]
        if number in sums:
            kind = sums[number].kind if kind == "identity" else kind
            number = sums[number].shortcut
        elif (shown := _view_of(recording, value)) is not None:
            number = shown
        else:
            return


def _view_of(recording: Recording, value: Value) -> int | None:
    """Return what a value is a view of."""
    if value.operation is None or recording.operations[value.operation].function not in VIEWS:
        return None
    return recording.operations[value.operation].inputs[0]


def _shown(recording: Recording, number: int | None) -> Iterator[int]:
    """Yield a value and what it is a view of."""
    while number is not None:
        yield number
        number = _view_of(recording, recording.values[number])


def _operands(recording: Recording, operation: Operation) -> tuple[int, int] | None:
    """Return the two values that an operation adds entry by entry, or None."""
    if operation.function in PRODUCTS:
        base, *factors = (argument for argument in operation.args if isinstance(argument, Ref))
        # addcmul(x, scale, branch): a factor that does not depend on the input is no branch.
        live = [f.value for f in factors if recording.values[f.value].live]
        operands: tuple[int, ...] = (base.value, max(live)) if live else ()
    elif operation.function in ADDITIONS:
        operands = tuple(refs(operation.args))
    else:
        return None
    # x + x doubles a tensor: neither side is a branch.
    if len(operands) != 2 or operands[0] == operands[1]:
        return None
    values = [recording.values[operand] for operand in operands]
    if not all(value.live and value.floating for value in values):
        return None
    shape = recording.values[operation.outputs[0]].shape
    if not shape:  # terms of a loss
        return None
    # What is broadcast to the stream is a bias or a mean; only a factor of the branch may be.
    same = values[0].shape == shape and (values[1].shape == shape or operation.function in PRODUCTS)
    return (operands[0], operands[1]) if same else None


def _contains(numbers: int, number: int) -> bool:
    return bool(numbers >> number & 1)


def members(numbers: int) -> Iterator[int]:
    """Yield the members of a set of numbers that is kept as bits."""
    while numbers:
        lowest = numbers & -numbers
        yield lowest.bit_length() - 1
        numbers ^= lowest


def _latest(recording: Recording, common: int) -> int | None:
    """Return the last tensor of real numbers in a set of values."""
    while common:
        number = common.bit_length() - 1
        # Token numbers and positions that both sides read are no stream.
        if recording.values[number].floating:
            return number
        common ^= 1 << number
    return None


def _between(recording: Recording, origin: int, end: int) -> set[int]:
    """Return the values on the way from `origin` to `end`, `end` included."""
    values = recording.values
    # Values are numbered as they are made: nothing before the origin lies on the way.
    later = values[end].ancestors >> (origin + 1) << (origin + 1)
    return {number for number in members(later) if _contains(values[number].ancestors, origin)}


def _learned(recording: Recording, numbers: set[int]) -> bool:
    return any(uses_parameters(recording, number) for number in numbers)


def uses_parameters(recording: Recording, number: int) -> bool:
    """Return whether parameters took part in making a value, out of sight or not."""
    value = recording.values[number]
    # A kernel of its own, which shows no operation, may have used any parameter.
    return value.operation is None or bool(recording.operations[value.operation].parameters)


def _extent(recording: Recording, origin: int, side: int) -> tuple[int, int]:
    """Return how much happens on one side of an addition; more does on the branch."""
    numbers = _between(recording, origin, side)
    return sum(uses_parameters(recording, number) for number in numbers), len(numbers)


def _inside(
    recording: Recording,
    operation: Operation,
    origin: int,
    shortcut: int,
    branch: int,
    between: set[int],
) -> tuple[Call, frozenset[int]] | None:
    """Return the innermost call in which a branch leads from its origin to its addition.

    What a block is given beside its stream may have been computed from the stream as well,
    outside (a context, a table of positions): that is not on its branch.
    """
    for call in map(recording.calls.__getitem__, reversed(recording.calls[operation.call].stack)):
        # The call may have been given a view of the origin, and its branches begin there.
        reached = {origin, *(i for i in call.inputs if origin in _shown(recording, i))}
        for other in recording.operations[call.begin :]:
            if other is operation:
                break
            if reached & set(other.inputs):
                reached |= set(other.outputs)
        found = frozenset(between & reached)
        if branch in found and shortcut in reached and _learned(recording, set(found)):
            return call, found
    return None


def _owner(recording: Recording, numbers: set[int], operation: Operation) -> Call:
    """Return the innermost call around an operation and the making of some values."""
    stacks = [recording.calls[operation.call].stack]
    stacks += [recording.calls[recording.values[number].call].stack for number in numbers]
    depth = 0
    for depth, level in enumerate(zip(*stacks, strict=False), 1):
        if len(set(level)) > 1:
            depth -= 1
            break
    return recording.calls[stacks[0][max(depth, 1) - 1]]
