"""Run a foreign block under a gate: its own forward, or what a dropped one leaves."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..._errors import Unsupported
from ...blocks import Gate, Rows, replace_rows, take_rows, with_zero_grads
from .._frame import Frame, dense, on_leaf, scaled, scaled_rows, shielded
from ..following import (
    Arguments,
    Known,
    Unit,
    borrowed_buffers,
    learn,
    parameters_on,
    require_samples_first,
    same_attributes,
    spares,
    unheard,
)

if TYPE_CHECKING:
    from ._controller import Controller, Options
    from ._seat import Seat


class Execution:
    """One call of a block under gates other than 1.

    Args:
        block: the block.
        seat: what it knows.
        args: of the call.
        kwargs: of the call.
        zeros: whether the parameters of a dropped branch get gradients of zero, for each.
    """

    def __init__(
        self,
        block: nn.Module,
        seat: "Seat",
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        zeros: Sequence[bool],
    ) -> None:
        self.block, self.seat, self.unit = block, seat, seat.unit
        self.controller: Controller = seat.controller
        self.options = seat.controller.options
        self.zeros = zeros
        self.kind: type[nn.Module] = seat.original
        self.arguments = Arguments.of(self.kind, args, kwargs)
        self.leaves = self.arguments.leaves
        self.known = self._known()

    def _known(self) -> Known:
        """Return what is known of calls like this one; find it out at the first of them."""
        # A call with a cache or a mask may take another path than the example did.
        pattern = self.arguments.pattern
        if pattern not in self.unit.patterns:
            with unheard(self.block):
                known = learn(self.unit, self.block, self.kind, self.arguments)
            self.unit.patterns[pattern] = known
        return self.unit.patterns[pattern]

    @property
    def must_run(self) -> str:
        """Why the block runs even if it is dropped; empty if it does not."""
        return self.controller.keeps_products or self.unit.masked or self.known.masked

    def run(self, gates: Sequence[Gate]) -> Any:
        """Return what the block returns under one gate per branch, or one for all."""
        # Tensors by identity: to compare their values would wait for the device.
        one = all(gate is gates[0] for gate in gates) or all(
            isinstance(gate, float) and gate == gates[0] for gate in gates
        )
        if one and self.unit.form == "branch":
            return self._added(gates[0])
        # Gates of single branches that are equal by chance still scale branches, not the change.
        if one and (len(self.unit.branches) == 1 or self.seat.whole):
            return self._whole(gates[0])
        return self._with_zero_grads(self._framed(self.leaves, list(gates)), gates)

    def _with_zero_grads(self, output: Any, gates: Sequence[Gate]) -> Any:
        """Give the parameters of the branches that were left out a gradient, if asked to."""
        each = zip(self.unit.branches, gates, self.zeros, strict=True)
        dropped = [b for b, gate, zero in each if zero and isinstance(gate, float) and gate == 0]
        if not dropped:
            return output
        spared = parameters_on(dropped, self.block)
        return on_leaf(output, 0, lambda x: with_zero_grads(x, spared))

    def _whole(self, gate: Gate) -> Any:
        if isinstance(gate, float) and gate == 0:
            return self._dropped()
        if isinstance(gate, Rows):
            return self._gathered(gate)
        return self._scaled(gate)

    def _native(self, leaves: list[Any]) -> Any:
        """Run the block's own forward."""
        args, kwargs = self.arguments.call(leaves)
        # Not a call: the hooks of the block are running already, around this.
        return self.seat.forward(self.block, *args, **kwargs)

    # A dropped block

    def _dropped(self) -> Any:
        if self.must_run:
            self.controller.say_masked(self.unit, self.must_run)
            return self._discarded(0.0)
        output = self._left(self.leaves)
        return self._passed_on(output)

    def _left(self, leaves: list[Any]) -> Any:
        """Return S(x)."""
        if self.unit.hollow:
            return self._framed(leaves, [0.0] * len(self.unit.branches))
        assert self.unit.shortcut is not None  # noqa: S101  # what has none must run
        return self.unit.shortcut(self.block, self.known.slots(leaves))

    def _passed_on(self, output: Any) -> Any:
        """Return what a dropped block leaves, safe from what happens to it later."""
        # What shards a block hangs a hook on what it returns, and warns if that is a view of x.
        reached = self.unit.overwritten or self.controller.sharing is not None
        copies = reached and self.unit.shortcut and self.unit.shortcut.identity
        if not (self.zeros[0] or copies):
            return output
        tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        position = next(i for i, leaf in enumerate(tensors) if leaf.is_floating_point())

        def pass_on(x: Tensor) -> Tensor:
            zeros = self.zeros[0]
            passed = with_zero_grads(x, spares(self.unit, self.block)) if zeros else x
            # Nothing new was computed: what changes the output in place would reach the
            # tensor that the block before has saved for its gradient.
            return x.clone() if copies and passed is x else passed

        return on_leaf(output, position, pass_on)

    def _discarded(self, gate: Gate) -> Any:
        """Run the block for what it leaves behind beside its output, which is discarded."""
        if self._at_exits:
            # Nothing is left out: what its children leave behind is what the block runs for.
            gates = [gate] * len(self.unit.branches)
            return self._with_zero_grads(self._framed(self.leaves, gates, skip=False), gates)
        output = self._native(self.leaves)
        if self.unit.shortcut is None and not self.unit.hollow:
            raise self._refusal(self.unit.masked or "what it leaves when dropped is not known")
        return self._passed_on(self._merged(self._beside(self.leaves), output, gate))

    def _beside(self, leaves: list[Any]) -> Any:
        """Return S(x) where the block itself runs as well, and moves its own statistics."""
        # A norm that S and B share would otherwise count this batch twice.
        with borrowed_buffers(self.block), ExitStack() as stack:
            if self.unit.hollow:  # its forward runs for S, too
                stack.enter_context(same_attributes(self.block))
            return self._left(leaves)

    # A block that runs

    def _scaled(self, gate: Gate) -> Any:
        """Run the block under a gate that is neither 0 nor 1, or has a gradient."""
        if self._at_exits:
            return self._framed(self.leaves, [gate] * len(self.unit.branches))
        if self.unit.shortcut is None and not self.unit.hollow:
            raise self._refusal(self.unit.masked)
        left = self._beside(self.leaves)
        return self._merged(left, self._native(self._shielded(gate)), gate)

    def _shielded(self, gate: Gate) -> list[Any]:
        # A shield is a new tensor: the caller would not see what the block writes into it.
        if not isinstance(gate, Tensor) or self.unit.writes or self.arguments.containers:
            return self.leaves
        every = [True] * len(self.leaves)
        leaves: list[Any] = shielded(self.leaves, gate, every, self.known.batched)
        return leaves

    @property
    def _at_exits(self) -> bool:
        return at_exits(self.unit, self.options)

    def _framed(self, leaves: list[Any], gates: list[Gate], *, skip: bool = True) -> Any:
        """Run the block's own forward with gates where its branches leave."""
        gated = [
            branch
            for branch, gate in zip(self.unit.branches, gates, strict=True)
            if not _open(gate)
        ]
        if not all(branch.exits for branch in gated):
            raise self._refusal("one of its branches leaves in no child")
        # Even at a gate of 0 children run if others need what they make.
        may = skip and not self.must_run
        # Where some samples are left, each child is called: nothing has to stand for its output.
        skips = [
            may and (branch.spared or isinstance(gate, Rows))
            for branch, gate in zip(self.unit.branches, gates, strict=True)
        ]
        frame = Frame(self.seat.index, gates, skips, _size(leaves))
        with self.controller.within(frame):
            output = self._native(leaves)
        # A fused kernel reads the weights of the children and calls none: no gate was put on.
        if len(set(frame.left)) < len(gated):
            return self._around(leaves, gates)
        return output

    def _around(self, leaves: list[Any], gates: list[Gate]) -> Any:
        """Scale the whole change where a fused kernel went around the children."""
        one = all(gate is gates[0] or gate == gates[0] for gate in gates)
        if not one or self.unit.shortcut is None or self.unit.hollow:
            raise self._refusal("its forward went around the places where its branches leave")
        return self._merged(self._beside(leaves), self._native(leaves), gates[0])

    def _merged(self, left: Any, output: Any, gate: Gate) -> Any:
        try:
            return merged(left, output, gate)
        except ValueError as error:  # its leaves do not pair up with those of S
            raise self._refusal("it returns something else than in the example") from error

    # Some samples

    def _gathered(self, gate: Rows) -> Any:
        if self.must_run or self.unit.rows or self.known.rows:
            reason = self.must_run or self.unit.rows or self.known.rows
            self.controller.say_masked(self.unit, reason)
            return self._masked(gate)
        leaves = self.leaves
        # The usual case, x with some rows replaced: S need not be made for a whole batch.
        if self.unit.shortcut is not None and self.unit.shortcut.identity and self._one_stream:
            stream = self.known.positions[self.unit.shortcut.stream]

            def run(rows: Tensor) -> Tensor:
                return self._on_rows(self._rows(leaves, gate, stream, rows), gate)

            return self._structured(replace_rows(leaves[stream], gate.index, run))
        # Around the block a projection would run for all samples, and once more for some.
        if self.known.beside and self._at_exits:
            return self._framed(leaves, [gate] * len(self.unit.branches))
        left = self._beside(leaves)
        output = self._on_rows(self._rows(leaves, gate), gate)
        first, form = pytree.tree_flatten(left)
        second = pytree.tree_leaves(output)
        return pytree.tree_unflatten(
            [_replaced(s, b, gate) for s, b in zip(first, second, strict=True)], form
        )

    @property
    def _one_stream(self) -> bool:
        """Whether the block returns nothing but one tensor, as it is or in a tuple."""
        leaves = pytree.tree_leaves(self.unit.shortcut.output)  # type: ignore[union-attr]
        return len(leaves) == 1

    def _structured(self, x: Tensor) -> Any:
        _, form = pytree.tree_flatten(self.unit.shortcut.output)  # type: ignore[union-attr]
        return pytree.tree_unflatten([x], form)

    def _rows(
        self, leaves: list[Any], gate: Rows, stream: int = -1, rows: Tensor | None = None
    ) -> list[Any]:
        return [
            rows if position == stream else take_rows(leaf, gate.index) if batched else leaf
            for position, (leaf, batched) in enumerate(zip(leaves, self.known.batched, strict=True))
        ]

    def _on_rows(self, leaves: list[Any], gate: Rows) -> Any:
        """Run the block on gathered samples, with their gates; one tensor comes out bare."""
        scale: Gate = gate.scale
        if isinstance(scale, float) and scale == 1:
            output = self._native(leaves)
        elif self._at_exits:
            output = self._framed(leaves, [scale] * len(self.unit.branches))
        else:
            output = self._merged(self._beside(leaves), self._native(leaves), scale)
        found = pytree.tree_leaves(output)
        return found[0] if len(found) == 1 else output

    def _masked(self, gate: Rows) -> Any:
        """Run all samples, and discard what the dropped ones computed."""
        # A mask with one number per sample would broadcast along any dimension of that size.
        require_samples_first(self.unit)
        x = next(leaf for leaf in self.leaves if isinstance(leaf, Tensor))
        # The integers of token numbers could not hold a gate of 1.25.
        every = dense(gate, x if x.is_floating_point() else x.float())
        if self._at_exits:
            return self._framed(self.leaves, [every] * len(self.unit.branches), skip=False)
        left = self._beside(self.leaves)
        return self._merged(left, self._native(self._shielded(every)), every)

    # A module that its parent adds to its input

    def _added(self, gate: Gate) -> Any:
        leaves = self.leaves
        if isinstance(gate, Rows):
            return self._added_rows(gate)
        dropped = isinstance(gate, float) and gate == 0
        if dropped and not self.must_run and self.known.stub is not None:
            args, kwargs = self.arguments.call(leaves)
            # Zeros, not its input: the parent adds what it returns.
            output = self.known.stub(args, kwargs, zero=True)
        else:
            output = self._native(self._shielded(gate))
            output = on_leaf(output, self.unit.leaf, lambda y: scaled(y, gate))
        if not (dropped and self.zeros[0]):
            return output
        spared = [*self.block.parameters()]
        return on_leaf(output, self.unit.leaf, lambda y: with_zero_grads(y, spared))

    def _added_rows(self, gate: Rows) -> Any:
        leaves = self.leaves
        if self.must_run or self.known.rows or self.known.stub is None:
            return on_leaf(
                self._native(leaves), self.unit.leaf, lambda y: scaled(y, dense(gate, y))
            )
        args, kwargs = self.arguments.call(leaves)
        zeros = self.known.stub(args, kwargs, zero=True)
        output = scaled_rows(self._native(self._rows(leaves, gate)), gate)
        return replace_rows(zeros, gate.index, lambda _: output)

    def _refusal(self, reason: str) -> Unsupported:
        name = self.unit.path or self.unit.kind
        return Unsupported(f"The gate of {name} must be 1 in this call, because {reason}.")


def merged(left: Any, output: Any, gate: Gate) -> Any:
    """Return S + d (B - S), leaf by leaf; what only the branches make stays as it is."""
    first, form = pytree.tree_flatten(left)
    second, _ = pytree.tree_flatten(output)
    pairs = zip(first, second, strict=True)
    return pytree.tree_unflatten([_between(s, b, gate) for s, b in pairs], form)


def _between(s: Any, b: Any, gate: Gate) -> Any:
    """Return s + gate (b - s); beside a tensor of the branches' own, that."""
    if not (isinstance(b, Tensor) and isinstance(s, Tensor) and b.is_floating_point()):
        return b
    if isinstance(gate, float):
        if gate == 0:
            return s
        if b.dtype in (torch.float16, torch.bfloat16):  # the difference loses digits there
            return torch.lerp(s.float(), b.float(), gate).to(b.dtype)
        # Under autocast S may have another type than B.
        return torch.lerp(s.to(b.dtype), b, gate)
    assert isinstance(gate, Tensor)  # noqa: S101  # rows never meet here
    if gate.ndim and (not b.ndim or len(b) != len(gate)):
        return b  # beside the samples, such as a term of the loss
    return s + scaled(b - s, gate)


def _replaced(s: Any, b: Any, gate: Rows) -> Any:
    if not isinstance(s, Tensor) or not isinstance(b, Tensor):
        return s
    return replace_rows(s, gate.index, lambda _: b) if s.ndim else b


def at_exits(unit: Unit, options: "Options") -> bool:
    """Return whether gates belong on the branches, and each has an exit to put its gate at."""
    every = all(branch.exits for branch in unit.branches)
    return every and (len(unit.branches) == 1 or options.scale == "branch")


def _open(gate: Gate) -> bool:
    return isinstance(gate, float) and gate == 1


def _size(leaves: list[Any]) -> int:
    return next((len(x) for x in leaves if isinstance(x, Tensor) and x.ndim), 0)
