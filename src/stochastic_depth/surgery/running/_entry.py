"""How a block stands in a graph of its model, or why it cannot."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from ..following import Known, Unit
from ._execute import at_exits
from ._graph import ROWS_FROM

if TYPE_CHECKING:
    from ._seat import Seat


@dataclass(frozen=True, eq=False)
class Entry:
    """How a block stands in the graph of its model.

    Attributes:
        number: of its gate.
        names: of the parameters of its forward.
        slots: for each leaf of its arguments in the example, the parameter that holds it.
        rows: whether a parameter that held a tensor there has one row per sample.
        always: whether its gate is always open.
        conditional: whether it can be one side of a conditional.
        samples: whether it can run on some samples.
        exits: whether its gate is put where its branches leave, and not around it.
        acts: whether it makes a difference, because something happens to the sum.
        norms: children with running statistics, which a dropped block does not move.
        passed: those of them that run when it is dropped.
    """

    number: int
    names: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    rows: dict[str, bool] = field(default_factory=dict)
    always: bool = False
    conditional: bool = True
    samples: bool = True
    exits: bool = False
    acts: bool = False
    norms: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()

    def way(self, per_sample: bool) -> str:
        """Return how the block runs, in words."""
        if self.always:
            return "always runs"
        if per_sample:
            return "runs the samples that are left, two at least"
        if not self.samples:
            return "is a conditional"
        small = f", and in batches below {ROWS_FROM} is a conditional" if self.conditional else ""
        return f"runs two samples where it is dropped{small}"


def entry_of(block: nn.Module, seat: "Seat", names: tuple[str, ...]) -> Entry | str:
    """Return how a block stands in a graph, or why it cannot."""
    unit, number = seat.unit, seat.gates[0][0]
    if all(not seat.controller.blocks[index].droppable for index in seat.gates[0]):
        return Entry(number, always=True)
    # The first is that of the example, which is the call that will be compiled.
    known = next(iter(unit.patterns.values()), None)
    if reason := _obstacle(block, seat, known):
        return reason
    norms = tuple(path for path, module in block.named_modules() if _has_statistics(module))
    if unit.form == "own":  # its shortcut runs once, whatever the gate
        norms = tuple(path for path in norms if _within(path, "branch"))
    exits = unit.form != "own" and at_exits(unit, seat.controller.options)
    acts = exits and (len(unit.branches) > 1 or _acts(unit))
    ways: dict[str, Any] = {
        "norms": norms,
        "passed": tuple(p for p in norms if any(_within(p, left) for left in _passed(unit))),
        "samples": not _mixes(unit, known),
        # A conditional scales around the block, where a ReLU behind the sum is within.
        "conditional": not norms and conditional(block) and not acts,
        "exits": exits,
        "acts": acts,
    }
    if not (ways["samples"] or ways["conditional"]):
        return _mixes(unit, known)
    if unit.form == "own" or known is None:
        return Entry(number, ("x",), ("x",), {"x": True}, **ways)
    # Paths are as `pytree.keystr` writes them: ['x'] for a parameter x.
    slots = tuple(path.removeprefix("['").removesuffix("']") for path in unit.paths)
    _, *kinds = next(iter(unit.patterns))
    leaves = zip(slots, known.batched, kinds, strict=True)
    rows = {name: rows for name, rows, kind in leaves if kind is Tensor}
    return Entry(number, names, slots, rows, **ways)


def _obstacle(block: nn.Module, seat: "Seat", known: Known | None) -> str:
    unit, options = seat.unit, seat.controller.options
    if unit.uses > 1:
        return "it is called several times in a forward"
    if len(seat.gates[0]) > 1 or unit.form == "branch":
        return "its branches have gates of their own"
    masked = unit.masked or (known.masked if known else "")
    if masked or unit.hollow or unit.writes:
        return masked or "what it leaves when dropped takes its own forward to tell"
    if unit.form == "block" and unit.shortcut is None:
        return "what it leaves when dropped is not known"
    if len(unit.branches) > 1 and options.scale == "branch" and not at_exits(unit, options):
        return "one of its branches leaves in no child"
    norms = {path: module for path, module in block.named_modules() if _has_statistics(module)}
    if any(m.momentum is None or isinstance(m, nn.SyncBatchNorm) for m in norms.values()):
        return "its running statistics take more than its batch to tell"
    if options.per == "batch":
        return ""
    if any(_within(path, left) for path in norms for left in _passed(unit)):
        return "what a dropped sample leaves is normalised over the batch"
    return _mixes(unit, known)


def _acts(unit: Unit) -> bool:
    """Return whether anything happens to the sum of a block and its branches."""
    return unit.shortcut is None or not unit.shortcut.identity or unit.shortcut.positive


def _mixes(unit: Unit, known: Known | None) -> str:
    """Return why the samples of a block cannot be run apart."""
    return unit.rows or (known.rows if known else "")


def _passed(unit: Unit) -> tuple[str, ...]:
    """Return the children that run when a block is dropped."""
    return unit.shortcut.modules if unit.shortcut is not None else ()


def _within(path: str, of: str) -> bool:
    return path == of or path.startswith(f"{of}.")


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, _NormBase) and module.track_running_stats


def has_batch_statistics(block: nn.Module) -> bool:
    """Return whether samples of a block are normalised by one another."""
    return any(isinstance(module, _BatchNorm) for module in block.modules())


def conditional(block: nn.Module) -> bool:
    """Return whether a block can be one side of a conditional.

    The gradient of a depthwise kernel has strides of its own, and both sides must agree; and a
    hook may do what no conditional allows.
    """
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())
    return not (hooked or any(p.ndim > 2 and p.shape[1] == 1 for p in block.parameters()))
