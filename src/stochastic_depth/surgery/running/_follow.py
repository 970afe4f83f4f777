"""A gated block, as a compiler follows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ...blocks import residual_step
from ...blocks._gate import masked
from .._frame import Frame, shielded
from ._entry import Entry
from ._graph import Graph

if TYPE_CHECKING:
    from ._seat import Seat

Forward = Callable[..., Any]


def in_graph(
    block: nn.Module, seat: "Seat", forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what a block returns, as a compiler follows it."""
    graph, entry = seat.controller.graph, seat.entry
    # Evaluated gates are 1: `outside_graph` has refused other laws.
    if entry.always or not (block.training or graph.forced):
        return forward(block, *args, **kwargs)
    if seat.unit.form == "own":
        args, kwargs = (args[0] if args else kwargs["x"],), {}
    given = dict(zip(entry.names, args, strict=False)) | kwargs
    if entry.conditional and not graph.rows and not (graph.gathers and entry.samples):
        return _if_kept(block, seat, forward, given)
    return _on_samples(block, seat, forward, given)


# As a conditional


def _if_kept(block: nn.Module, seat: "Seat", forward: Forward, given: dict[str, Any]) -> Any:
    number = seat.entry.number
    scale = seat.controller.graph.scale[number]

    def run() -> Any:
        if seat.unit.form == "own":
            return _own(block, given["x"], scale)
        return _between(_left(block, seat, given), forward(block, **given), scale)

    def skip() -> Any:
        return _cloned(_left(block, seat, given))

    # No operands: the compiler finds what both sides read, parameters as well.
    return torch.cond(seat.controller.graph.keep[number], run, skip, ())


def _own(block: Any, x: Tensor, scale: Tensor) -> Tensor:
    """Return act(s(x) + d a F(x)) of a `Residual` that runs."""
    # Not its forward, which masks under a gate that is a tensor: here nothing is dropped.
    base = x if block.shortcut is None else block.shortcut(x)
    y = base + block.branch(x) * (scale * block.scale).to(x.dtype)
    return y if block.activation is None else block.activation(y)


def _cloned(left: Any) -> Any:
    """Return what is left in memory of its own: a conditional may not return what it is given."""
    if isinstance(left, Tensor):
        return left.clone()
    return type(left)(map(_cloned, left)) if isinstance(left, tuple | list) else left


# On some samples


@dataclass(frozen=True, eq=False)
class _Samples:
    """The samples that run a block.

    Attributes:
        gate: theirs, shape () or (k,).
        count: how many they are, k.
        index: which they are, shape (k,); None for the first.
    """

    gate: Tensor
    count: int
    index: Tensor | None

    @classmethod
    def of(cls, graph: Graph, number: int) -> "_Samples":
        if graph.rows:
            return cls(graph.factors[number], len(graph.rows[number]), graph.rows[number])
        return cls(graph.scale[number], len(graph.sizes[number]), None)

    def taken(self, x: Any, size: int, known: bool | None = True) -> Any:
        """Return them out of an argument; one the example did not show is told by its size."""
        if isinstance(x, Tensor):
            # Known by the example where it can be: a size that fits may be chance.
            takes = x.ndim > 0 and len(x) == size if known is None else known
            if not takes:
                return x
            return x[: self.count] if self.index is None else x.index_select(0, self.index)
        if isinstance(x, tuple | list):
            return type(x)(self.taken(leaf, size, None) for leaf in x)
        return x

    def put(self, x: Any, rows: Any) -> Any:
        """Return `x` with these samples replaced."""
        if isinstance(rows, Tensor):
            x = x.to(rows.dtype)
            if self.index is None:  # fused with what is around it
                return torch.slice_scatter(x, rows, 0, 0, self.count)
            return x.index_copy(0, self.index, rows)
        if isinstance(rows, tuple | list):
            return type(rows)(self.put(a, b) for a, b in zip(x, rows, strict=True))
        return rows


def _on_samples(block: Any, seat: "Seat", forward: Forward, given: dict[str, Any]) -> Any:
    """Run the samples that are left, and put them back among the others."""
    entry: Entry = seat.entry
    samples = _Samples.of(seat.controller.graph, entry.number)
    size = len(given[next(name for name, rows in entry.rows.items() if rows)])
    # All samples leave first: what they move on the way is theirs to move.
    left = _left(block, seat, given)
    statistics = [
        (buffer.data, buffer.clone(), path in entry.passed)
        for path in entry.norms
        if block.get_submodule(path).training
        for buffer in block.get_submodule(path).buffers()
    ]
    some = {name: samples.taken(x, size, entry.rows.get(name)) for name, x in given.items()}
    runs = (samples.gate != 0).any()
    # A dropped sample that is normalised with others has a gradient by right.
    shield = runs if entry.norms else samples.gate
    if seat.unit.form == "own":
        output = _own_rows(block, given["x"], some["x"], samples, shield)
    else:
        output = _gated(
            block, seat, forward, some, samples.taken(left, size, None), samples.gate, shield
        )
    for buffer, before, passed in statistics:
        buffer.copy_(before if passed else torch.where(runs, buffer, before))
    return samples.put(left, output)


def _own_rows(block: Any, x: Tensor, rows: Tensor, samples: _Samples, shield: Tensor) -> Tensor:
    base = rows if block.shortcut is None else samples.taken(block.shortcut(x), len(x))
    (rows,) = shielded((rows,), shield, [True], [True])
    y = base + block.scale * masked(samples.gate, block.branch(rows))
    return y if block.activation is None else block.activation(y)


def _gated(
    block: nn.Module,
    seat: "Seat",
    forward: Forward,
    given: dict[str, Any],
    left: Any,
    gate: Tensor,
    shield: Tensor,
) -> Any:
    """Run a block on samples that leave `left` when they are dropped."""
    graph = seat.controller.graph
    # What runs again in the backward pass may not write into the list of frames.
    if not seat.entry.exits or (graph.checkpoints and not seat.entry.acts):
        # NaN and infinity of what is dropped must not come back as a gradient.
        every = [True] * len(pytree.tree_leaves(given))
        given = shielded(given, shield, every, [seat.entry.rows.get(name) for name in given])
        return _between(left, forward(block, **given), gate)
    branches = seat.unit.branches
    frame = Frame(seat.index, [gate] * len(branches), [False] * len(branches), shield=shield)
    graph.frames.append(frame)
    output = forward(block, **given)
    graph.frames.pop()
    # A fused kernel reads the weights of the children and calls none: no gate was put on.
    if len(set(frame.left)) < len(branches):
        return _between(left, output, gate)
    # Two samples of a dropped block are not normalised as in their batch.
    return _between(left, output, (gate != 0).to(gate.dtype)) if seat.entry.passed else output


# What both have in common


def _left(block: Any, seat: "Seat", given: dict[str, Any]) -> Any:
    """Return what a block leaves when it is dropped."""
    if seat.unit.form == "own":
        return residual_step(
            given["x"], _nothing, 0.0, shortcut=block.shortcut, activation=block.activation,
            activated=block.activated, alias=True,
        )  # fmt: skip
    slots = [given.get(name) for name in seat.entry.slots]
    return seat.unit.shortcut(block, slots)  # type: ignore[misc]  # entry_of has looked


def _nothing(x: Tensor) -> Tensor:
    raise AssertionError("a dropped branch does not run")


def _between(left: Any, output: Any, gate: Tensor) -> Any:
    """Return s + gate (b - s) for each tensor; s where the gate is 0, whatever b."""
    if isinstance(output, Tensor):
        if not output.is_floating_point():
            return output
        gate = gate.reshape(-1, *[1] * (output.ndim - 1)) if gate.ndim else gate
        wide = torch.promote_types(output.dtype, torch.float32)  # half: b - s has few digits
        between = torch.lerp(left.to(wide), output.to(wide), gate.to(wide))
        return torch.where(gate == 0, left.to(wide), between).to(output.dtype)
    if isinstance(output, tuple | list):
        return type(output)(_between(s, b, gate) for s, b in zip(left, output, strict=True))
    return output
