"""The record of what may be dropped: one `Block` per gate."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from ..._checks import one_of
from ..._errors import NothingToDrop
from ..._typing import Mask
from ..translation import Branch
from ._costs import count_flops
from ._survey import Survey, Unit, survey

Granularity = Literal["block", "branch"]
"""What has a gate of its own: a whole block, or each of its residual branches."""

Transitions = Literal["protect", "drop"]
"""Blocks whose shortcut is a projection run always, or are reduced to their shortcut."""


@dataclass(frozen=True)
class Block:
    """What one gate stands for: a block, or with `granularity="branch"` one of its branches.

    Attributes:
        index: position in the gate vector.
        path: path of the module in the model.
        branch: name of the branch within the module; empty for a whole block.
        kind: class of the module.
        droppable: whether its gate may be 0 in a draw.
        reason: why not; empty if droppable.
        cost: what skipping saves, relative to the other blocks: floating point operations
            of the branches if an example was given, else 1.
    """

    index: int
    path: str
    branch: str
    kind: str
    droppable: bool
    reason: str
    cost: float

    def __str__(self) -> str:
        name = self.path or "(the model)"
        return f"{name} [{self.branch}]" if self.branch else name


@dataclass(frozen=True)
class Anatomy:
    """A model taken apart, and one record per gate.

    Attributes:
        survey: its units.
        granularity: what has a gate.
        governed: the unit that each gate belongs to, and the branches it governs.
        blocks: one record per gate.
        share: operations of all branches, as a share of the model's; None if not measured.
    """

    survey: Survey
    granularity: Granularity
    governed: tuple[tuple[Unit, tuple[Branch, ...]], ...]
    blocks: tuple[Block, ...]
    share: float | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        granularity: Granularity = "block",
        transitions: Transitions = "protect",
        example: Any | None = None,
    ) -> "Anatomy":
        """Take `model` apart; see `stochastic_depth.find_blocks`."""
        one_of("granularity", granularity, get_args(Granularity))
        one_of("transitions", transitions, get_args(Transitions))
        found = survey(model, example)
        flops = None if example is None else count_flops(model, example)
        governed = tuple(gate for unit in found.units for gate in _gates(unit, granularity))
        blocks = tuple(
            _record(index, unit, branches, transitions, flops)
            for index, (unit, branches) in enumerate(governed)
        )
        total = None if flops is None else flops([""])
        share = sum(block.cost for block in blocks) / total if total else None
        return cls(found, granularity, governed, blocks, share)

    @property
    def protected(self) -> Mask:
        """Which gates are always open: bool, shape (L,)."""
        return torch.tensor([not block.droppable for block in self.blocks], dtype=torch.bool)

    @property
    def fixed(self) -> frozenset[int]:
        """Indices of the gates that can only be 1: no translation can run the block."""
        units = enumerate(unit for unit, _ in self.governed)
        return frozenset(index for index, unit in units if unit.translation is None)

    @property
    def gates_per_unit(self) -> tuple[int, ...]:
        """How many gates each unit has."""
        owners = Counter(unit.path for unit, _ in self.governed)
        return tuple(owners[unit.path] for unit in self.survey.units)

    def per_branch(self, unit: Unit, gates: Sequence[float]) -> list[float]:
        """Return the gates of a unit, one per branch."""
        owned = zip(self.governed, gates, strict=True)
        return [
            gate for (owner, branches), gate in owned if owner is unit for _ in branches or (None,)
        ]

    def require_droppable(self, model: nn.Module) -> None:
        """Raise `NothingToDrop` unless some block may be dropped."""
        if any(block.droppable for block in self.blocks):
            return
        looked_at = Counter((block.kind, block.reason) for block in self.blocks)
        looked_at.update((other.kind, other.reason) for other in self.survey.others)
        listed = "; ".join(f"{n} {kind}: {why}" for (kind, why), n in looked_at.items())
        raise NothingToDrop(
            f"{type(model).__name__} must have a block that may be dropped; looked at "
            f"{listed or 'nothing, it has no module with children'}."
        )


def _gates(unit: Unit, granularity: Granularity) -> list[tuple[Unit, tuple[Branch, ...]]]:
    if granularity == "block" or not unit.branches:
        return [(unit, unit.branches)]
    return [(unit, (branch,)) for branch in unit.branches]


def _record(
    index: int,
    unit: Unit,
    branches: tuple[Branch, ...],
    transitions: Transitions,
    flops: Callable[[list[str]], float] | None,
) -> Block:
    reason = unit.obstacle or _protection(branches, transitions)
    return Block(
        index=index,
        path=unit.path,
        branch=branches[0].label if len(branches) < len(unit.branches) else "",
        kind=unit.kind,
        droppable=not reason,
        reason=reason,
        cost=1.0 if flops is None else flops(_paths(unit, branches)),
    )


def _paths(unit: Unit, branches: tuple[Branch, ...]) -> list[str]:
    if not branches:
        return [unit.path]
    inside = f"{unit.path}." if unit.path else ""
    return [f"{inside}{path}" for branch in branches for path in branch.modules]


def _protection(branches: tuple[Branch, ...], transitions: Transitions) -> str:
    if transitions == "drop" or all(branch.kind != "projection" for branch in branches):
        return ""
    return "its shortcut is a projection"
