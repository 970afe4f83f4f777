"""Gates as data: one graph of a gated model, whatever the draw.

A compiler follows Python once. It cannot follow a draw, so the gates of a step are drawn
outside and put into tensors, which the graph reads:

- per batch, a block is a conditional on `keep`: its own forward, or what it leaves;
- per sample, the samples in `rows` are taken out of the batch, run, and put back.

A gate other than 1 scales the whole change of the block, S + d (B - S): here the compiler
fuses what costs a pass over memory in eager mode.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..._typing import Gates
from ..following import Known, Unit

if TYPE_CHECKING:
    from ._seat import Seat

Forward = Callable[..., Any]


@dataclass(eq=False)
class Graph:
    """The gates of the pass that is running, where a graph finds them.

    Attributes:
        keep: which blocks run, bool, shape (L,); on the CPU, where a conditional costs no wait.
        scale: their gates, shape (L,).
        rows: for each block the samples that run, int64, shape (k,), 2 <= k <= N; empty for
            gates per batch. Sizes 0 and 1 would be graphs of their own: a sample that is
            dropped fills up, with a factor of 0.
        factors: their gates, shape (k,).
        forced: whether blocks in evaluation mode have these gates, too.
        inside: whether the whole model is in the graph, and has drawn.
        gathers: whether a dropped block runs two samples with a factor of 0, because its
            conditional would not compile.
        entered: whether every block is known to have a place in the graph.
    """

    keep: Tensor
    scale: Tensor
    rows: list[Tensor] = field(default_factory=list)
    factors: list[Tensor] = field(default_factory=list)
    forced: bool = False
    inside: bool = False
    gathers: bool = False
    entered: bool = False

    @classmethod
    def of(cls, count: int) -> "Graph":
        """Return open gates of `count` blocks."""
        # Whatever the default device: to read a condition from a GPU would wait for it.
        ones = torch.ones(count, device="cpu")
        return cls(ones.bool(), ones)

    def fill(self, gates: Gates, device: torch.device, size: int) -> None:
        """Put the gates of a pass on `size` samples where the graph finds them."""
        # All samples or none of them, in place of a conditional that would not compile.
        if gates.ndim == 1 and self.gathers:
            gates = gates[:, None].expand(-1, size)
        self.rows, self.factors = [], []
        if gates.ndim == 1:
            # Not in place: the backward pass of the forward before may be to come.
            self.keep, self.scale = gates != 0, gates.detach().to(device)
            return
        for index, factor in map(_two_at_least, gates.detach()):
            self.rows.append(_dynamic(index.to(device)))
            self.factors.append(_dynamic(factor.to(device)))


def _two_at_least(gates: Tensor) -> tuple[Tensor, Tensor]:
    index = gates.nonzero()[:, 0]
    if len(index) < 2:
        index = torch.cat([index, (gates == 0).nonzero()[: 2 - len(index), 0]])
    return index, gates[index]


def _dynamic(x: Tensor) -> Tensor:
    # Otherwise the next number of samples would compile another graph.
    torch._dynamo.mark_dynamic(x, 0)
    return x


@dataclass(frozen=True, eq=False)
class Entry:
    """How a block stands in the graph of its model.

    Attributes:
        number: of its gate.
        names: of the parameters of its forward.
        slots: for each leaf of its arguments in the example, the parameter that holds it.
        rows: whether a parameter that held a tensor there has one row per sample.
        always: whether its gate is always open.
    """

    number: int
    names: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    rows: dict[str, bool] = field(default_factory=dict)
    always: bool = False


def entry_of(block: nn.Module, seat: "Seat", names: tuple[str, ...]) -> Entry | str:
    """Return how a block stands in a graph, or why it cannot."""
    unit, number = seat.unit, seat.gates[0][0]
    if all(not seat.controller.blocks[index].droppable for index in seat.gates[0]):
        return Entry(number, always=True)
    # The first is that of the example, which is the call that will be compiled.
    known = next(iter(unit.patterns.values()), None)
    if reason := _obstacle(block, seat, known):
        return reason
    if unit.form == "own" or known is None:
        return Entry(number, ("x",), ("x",), {"x": True})
    # Paths are as `pytree.keystr` writes them: ['x'] for a parameter x.
    slots = tuple(path.removeprefix("['").removesuffix("']") for path in unit.paths)
    _, *kinds = next(iter(unit.patterns))
    leaves = zip(slots, known.batched, kinds, strict=True)
    return Entry(
        number, names, slots, {name: rows for name, rows, kind in leaves if kind is Tensor}
    )


def _obstacle(block: nn.Module, seat: "Seat", known: Known | None) -> str:
    unit = seat.unit
    if unit.uses > 1:
        return "it is called several times in a forward"
    if len(seat.gates[0]) > 1 or unit.form == "branch":
        return "its branches have gates of their own"
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in block.modules()):
        return "it writes running statistics, which a conditional refuses"
    masked = unit.masked or (known.masked if known else "")
    if masked or unit.hollow or unit.writes:
        return masked or "what it leaves when dropped takes its own forward to tell"
    per_sample = seat.controller.options.per != "batch"
    if unit.form == "block" and unit.shortcut is None:
        return "what it leaves when dropped is not known"
    if per_sample and not _returns_input(block, unit):
        return "a dropped sample does not leave as it came"
    return unit.rows if per_sample else ""


def _returns_input(block: Any, unit: Unit) -> bool:
    if unit.form == "own":
        return block.shortcut is None and block.activation is None
    return unit.shortcut is not None and unit.shortcut.identity


def conditional(block: nn.Module) -> bool:
    """Return whether a block can be one side of a conditional.

    The gradient of a depthwise kernel has strides of its own, and both sides must agree; and a
    hook may do what no conditional allows.
    """
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())
    return not (hooked or any(p.ndim > 2 and p.shape[1] == 1 for p in block.parameters()))


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
    if graph.rows:
        return _on_rows(block, seat, forward, given)
    return _if_kept(block, seat, forward, given)


def _if_kept(block: nn.Module, seat: "Seat", forward: Forward, given: dict[str, Any]) -> Any:
    number = seat.entry.number
    scale = seat.controller.graph.scale[number]

    def run() -> Any:
        if seat.unit.form == "own":
            return _own(block, given["x"], scale)
        return _between(_left(block, seat, given), forward(block, **given), scale)

    def skip() -> Any:
        if seat.unit.form == "own":
            return _cloned(forward(block, given["x"], 0.0))
        return _cloned(_left(block, seat, given))

    # No operands: the compiler finds what both sides read, parameters as well.
    return torch.cond(seat.controller.graph.keep[number], run, skip, ())


def _own(block: Any, x: Tensor, scale: Tensor) -> Tensor:
    """Return act(s(x) + d a F(x)) of a `Residual` that runs."""
    # Not its forward, which masks under a gate that is a tensor: here nothing is dropped.
    base = x if block.shortcut is None else block.shortcut(x)
    y = base + block.branch(x) * (scale * block.scale).to(x.dtype)
    return y if block.activation is None else block.activation(y)


def _left(block: nn.Module, seat: "Seat", given: dict[str, Any]) -> Any:
    slots = [given.get(name) for name in seat.entry.slots]
    return seat.unit.shortcut(block, slots)  # type: ignore[misc]  # entry_of has looked


def _between(left: Any, output: Any, gate: Tensor) -> Any:
    """Return s + gate (b - s) for each tensor."""
    if isinstance(output, Tensor):
        if not output.is_floating_point():
            return output
        gate = gate.reshape(-1, *[1] * (output.ndim - 1)) if gate.ndim else gate
        wide = torch.promote_types(output.dtype, torch.float32)  # half: b - s has few digits
        return torch.lerp(left.to(wide), output.to(wide), gate.to(wide)).to(output.dtype)
    if isinstance(output, tuple | list):
        return type(output)(_between(s, b, gate) for s, b in zip(left, output, strict=True))
    return output


def _cloned(left: Any) -> Any:
    """Return what is left in memory of its own: a conditional may not return what it is given."""
    if isinstance(left, Tensor):
        return left.clone()
    return type(left)(map(_cloned, left)) if isinstance(left, tuple | list) else left


def _on_rows(block: nn.Module, seat: "Seat", forward: Forward, given: dict[str, Any]) -> Any:
    """Run the samples that are left, and put them back among the others."""
    graph, entry = seat.controller.graph, seat.entry
    index, factor = graph.rows[entry.number], graph.factors[entry.number]
    size = len(given[next(name for name, rows in entry.rows.items() if rows)])
    some = {name: _taken(x, index, size, entry.rows.get(name)) for name, x in given.items()}
    if seat.unit.form == "own":
        x, output = given["x"], forward(block, some["x"])
        base = some["x"]
    else:
        x, base = _left(block, seat, given), _left(block, seat, some)
        output = forward(block, **some)
    return _put_back(x, _between(base, output, factor), index)


def _taken(x: Any, index: Tensor, size: int, known: bool | None) -> Any:
    """Return the rows of an argument; one that the example did not show is told by its size."""
    if isinstance(x, Tensor):
        # Known by the example where it can be: a size that fits may be chance.
        takes = x.ndim > 0 and len(x) == size if known is None else known
        return x.index_select(0, index) if takes else x
    if isinstance(x, tuple | list):
        return type(x)(_taken(leaf, index, size, None) for leaf in x)
    return x


def _put_back(x: Any, rows: Any, index: Tensor) -> Any:
    if isinstance(rows, Tensor):
        return x.index_copy(0, index, rows)
    if isinstance(rows, tuple | list):
        return type(rows)(_put_back(a, b, index) for a, b in zip(x, rows, strict=True))
    return rows
