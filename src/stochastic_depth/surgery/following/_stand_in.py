"""What stands for the output of a module that is not called."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from .._frame import Argument, Shape, Stub, first_tensor
from ._observe import Seen


def stub_of(seen: Sequence[Seen], larger: Sequence[Seen]) -> Stub | None:
    """Return what stands for the output of a module: zeros of a shape that two calls tell."""
    if not larger:
        return _same_shape(seen[0])
    return stand_in([seen[0], larger[0]])


def _same_shape(seen: Seen) -> Stub | None:
    """Return a stand-in for an output that is one tensor of the shape of the input."""
    x = first_tensor(seen.args, seen.kwargs)
    if isinstance(seen.output, Tensor) and x is not None and seen.output.shape == x.shape:
        return Stub((None,), pytree.tree_flatten(0)[1])
    return None


def stand_in(pair: Sequence[Seen]) -> Stub | None:
    """Return a stand-in from two calls with different batches, or None if they do not tell."""
    flat = [pytree.tree_flatten(seen.output) for seen in pair]
    first = [first_tensor(seen.args, seen.kwargs) for seen in pair]
    numbers = [_integers(seen) for seen in pair]
    if any(x is None for x in first) or flat[0][1] != flat[1][1]:
        return None
    rules = [_rule(a, b, *first) for a, b in zip(flat[0][0], flat[1][0], strict=True)]  # type: ignore[arg-type]
    rules = _passed_on(rules, [flat[0][0], flat[1][0]], numbers)
    return None if "unknown" in rules else Stub(tuple(rules), flat[0][1])


def _passed_on(
    rules: list[Any], outputs: list[list[Any]], given: list[dict[int, int]]
) -> list[Any]:
    """Return rules in which sizes that a module was given, and returns in order, are copied."""
    returned = [i for i, leaf in enumerate(outputs[0]) if type(leaf) is int]
    same = all(
        [leaves[i] for i in returned] == list(numbers.values())
        for leaves, numbers in zip(outputs, given, strict=True)
    )
    if same:
        for position, argument in zip(returned, given[0], strict=True):
            rules[position] = Argument(argument)
    return rules


def _integers(seen: Seen) -> dict[int, int]:
    leaves = pytree.tree_leaves((seen.args, seen.kwargs))
    return {position: leaf for position, leaf in enumerate(leaves) if type(leaf) is int}


def _rule(a: Any, b: Any, x: Tensor, y: Tensor) -> Any:
    if not isinstance(a, Tensor):
        return (a,) if a is None or isinstance(a, bool | str) else "unknown"
    if a.dtype != x.dtype or not isinstance(b, Tensor) or a.ndim != b.ndim:
        return "unknown"
    if a.shape == x.shape and b.shape == y.shape:
        return None
    sizes, copies = [], []
    for m, n in zip(a.shape, b.shape, strict=True):
        source = [d for d in range(x.ndim) if (x.shape[d], y.shape[d]) == (m, n)]
        if m != n and not source:
            return "unknown"
        # A size that did not grow is not taken from the input, even if one there is equal by
        # chance.
        sizes.append(source[0] if m != n else m)
        copies.append(m != n)
    # What does not grow with the batch may depend on the other sizes of the input.
    return Shape(tuple(sizes), tuple(copies)) if x.ndim == 2 or a.ndim <= 2 else "unknown"
