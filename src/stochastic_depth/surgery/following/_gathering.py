"""Which samples the children on a branch are given, when some of a batch are dropped.

Children gather; what a block does between them works with whatever rows it meets. So it is
followed which values have the gathered rows only, and a branch in which they meet values with
all rows is not gathered.
"""

from dataclasses import dataclass

from torch.utils import _pytree as pytree

from ._joins import Join
from ._observe import Seen
from ._recording import Call, Recording, Ref


@dataclass(frozen=True, eq=False)
class Part:
    """One call of a child on a branch.

    Attributes:
        path: of the child, in the block.
        nth: which call of it in the block.
        call: the call.
        leaf: which tensor of its output leaves the branch; None if none does.
        pair: the call at both batch sizes; empty if there is one only.
    """

    path: str
    nth: int
    call: Call
    leaf: int | None
    pair: list[Seen]


def entering(
    recording: Recording, block: Call, join: Join, parts: dict[int, Part]
) -> dict[int, tuple[bool, ...]] | None:
    """Return which leaves of the arguments of each child are to be gathered.

    Args:
        recording: of the model.
        block: its call.
        join: the addition of the branch.
        parts: the calls of children on the branch, by number.

    Returns:
        For each call, a flag per leaf; None if the branch cannot be run on some samples.
    """
    gathered: set[int] = set()
    found: dict[int, tuple[bool, ...]] = {}
    for number in sorted(parts):
        part = parts[number]
        if not _between(recording, block, parts, gathered, part.call.begin):
            return None
        if (enters := _entering(recording, part, gathered)) is None:
            return None
        found[number] = enters
        touched = any(enters) or bool(gathered & set(part.call.inputs))
        if part.leaf is not None:
            # Where the branch leaves, its rows are put back among all the others.
            gathered -= set(part.call.outputs)
        elif touched and not set(part.call.outputs) <= set(part.call.inputs):
            gathered |= set(part.call.outputs)
    return found if _between(recording, block, parts, gathered, join.operation) else None


def _entering(recording: Recording, part: Part, gathered: set[int]) -> tuple[bool, ...] | None:
    leaves = pytree.tree_leaves((part.call.args, part.call.kwargs))
    # At one batch size nobody can tell which dimension the samples are.
    if not part.pair:
        return None
    sizes = [pytree.tree_leaves((seen.args, seen.kwargs)) for seen in part.pair]
    rows = [
        isinstance(leaf, Ref) and a.ndim > 0 and len(a) != len(b)
        for leaf, a, b in zip(leaves, *sizes, strict=True)
    ]
    here = [isinstance(leaf, Ref) and leaf.value in gathered for leaf in leaves]
    same = set(part.call.outputs) <= set(part.call.inputs)  # such as dropout: nothing is saved
    if same and part.leaf is None and not any(here):
        return tuple(False for _ in leaves)
    return tuple(r and not h for r, h in zip(rows, here, strict=True))


def _between(
    recording: Recording, block: Call, parts: dict[int, Part], gathered: set[int], end: int
) -> bool:
    """Follow what the block does itself up to an operation; False if rows do not fit."""
    for operation in recording.operations[block.begin : end]:
        if any(number in parts for number in recording.calls[operation.call].stack):
            continue
        if not gathered & set(operation.inputs):
            continue
        # Rows of some samples and rows of all do not add up.
        if any(_all_rows(recording, value, gathered) for value in operation.inputs):
            return False
        gathered |= set(operation.outputs)
    return True


def _all_rows(recording: Recording, value: int, gathered: set[int]) -> bool:
    return recording.values[value].live and value not in gathered
