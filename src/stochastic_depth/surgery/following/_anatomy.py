"""The record of what may be dropped: one `Block` per gate."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import nn

from ..._checks import one_of
from ..._errors import NothingToDrop
from ..._typing import Mask
from ._costs import count_flops
from ._observe import with_shapes
from ._samples import require_samples_first
from ._survey import survey
from ._units import Branch, Survey, Unit, counted
from ._untouched import unheard
from ._verify import verify

Granularity = Literal["block", "branch"]
"""What has a gate of its own: a whole block, or each of its residual branches."""

Scale = Literal["block", "branch"]
"""What a gate scales: the whole change of its block, or each of its branches."""

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
        masked: why it runs even when dropped, and its change is discarded, so that nothing
            is saved; empty if a dropped one does not run.
        use: which of several calls of the same module, from 0; each has its own gate.
    """

    index: int
    path: str
    branch: str
    kind: str
    droppable: bool
    reason: str
    cost: float
    masked: str = ""
    use: int = 0

    def __str__(self) -> str:
        name = self.path or "(the model)"
        name = f"{name} (call {self.use + 1})" if self.use else name
        return f"{name} [{self.branch}]" if self.branch else name


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A model taken apart, and one record per gate.

    Attributes:
        survey: its units.
        granularity: what has a gate.
        governed: for each gate the unit it belongs to, which call of it, and the branches.
        blocks: one record per gate.
        share: operations of all branches, as a share of the model's; None if not measured.
        alone: whether the model consists of the project's own blocks and was not run.
    """

    survey: Survey
    granularity: Granularity
    governed: tuple[tuple[Unit, int, tuple[Branch, ...]], ...]
    blocks: tuple[Block, ...]
    share: float | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        granularity: Granularity = "block",
        transitions: Transitions = "protect",
        example: Any | None = None,
        *,
        scale: Scale = "block",
        samples: bool = False,
    ) -> "Anatomy":
        """Take `model` apart; see `stochastic_depth.find_blocks`.

        Args:
            model: the model.
            granularity: see `find_blocks`.
            transitions: see `find_blocks`.
            example: see `find_blocks`.
            scale: what a gate scales in a block of several branches.
            samples: whether it matters where the samples of a batch are.
        """
        one_of("granularity", granularity, get_args(Granularity))
        one_of("transitions", transitions, get_args(Transitions))
        told = samples or example is not None
        # A copy, if there are lazy layers: theirs are to come from the user's first batch.
        model = with_shapes(model, example)
        found = survey(model, example, run=told and not _is_ours(model))
        _verify(model, found)
        if granularity == "block":
            _require_places(found, scale)
        flops = None if example is None else count_flops(model, example)
        governed = tuple(gate for unit in found.units for gate in _gates(unit, granularity))
        blocks = tuple(
            _record(index, unit, use, branches, transitions, flops)
            for index, (unit, use, branches) in enumerate(governed)
        )
        total = None if flops is None else flops([""])
        share = sum(block.cost for block in blocks) / total if total else None
        return cls(found, granularity, governed, blocks, share)

    @property
    def protected(self) -> Mask:
        """Which gates are always open: bool, shape (L,)."""
        return torch.tensor(
            [not block.droppable for block in self.blocks], dtype=torch.bool, device="cpu"
        )

    @cached_property
    def fixed(self) -> frozenset[int]:
        """Indices of the gates that can only be 1: nothing can put a gate on the block."""
        return frozenset(
            index
            for index, (unit, _, branches) in enumerate(self.governed)
            if _obstacle(unit, branches)
        )

    @property
    def depth(self) -> list[int]:
        """How many gates there are at each depth: each block, and each call of it."""
        places = Counter((unit.path, use) for unit, use, _ in self.governed)
        return list(places.values())

    def gates_of(self, unit: Unit) -> list[int]:
        """Return the indices of the gates of a unit."""
        return [i for i, (owner, _, _) in enumerate(self.governed) if owner is unit]

    def require_droppable(self, model: nn.Module) -> None:
        """Raise `NothingToDrop` unless some block may be dropped."""
        if any(block.droppable for block in self.blocks):
            return
        looked_at = Counter((block.kind, block.reason) for block in self.blocks)
        looked_at.update(counted(self.survey.others))
        listed = "; ".join(f"{n} {kind}: {why}" for (kind, why), n in looked_at.items())
        raise NothingToDrop(
            f"{type(model).__name__} must have a block that may be dropped; looked at "
            f"{listed or 'all of its modules, none of which adds a branch to its input'}."
        )

    def require_samples(self) -> None:
        """Raise unless every block keeps the samples of a batch in the first dimension.

        Raises:
            Unsupported: it names the block, and says where its samples are.
        """
        for unit, _, _ in self.governed:
            require_samples_first(unit)


def _is_ours(model: nn.Module) -> bool:
    return type(model).__module__.startswith(f"{__package__.partition('.')[0]}.models")


def _verify(model: nn.Module, found: Survey) -> None:
    observation = found.observation
    if observation is None:
        return
    for unit in found.units:
        block = model.get_submodule(unit.path)
        seen = observation.calls.get(unit.path, [])
        larger = observation.larger.get(unit.path, [])
        if seen and not unit.obstacle:
            with unheard(block):
                verify(unit, block, seen, larger)


def _require_places(found: Survey, scale: Scale) -> None:
    """Note where what a gate is to scale has no place: a whole change, or one of the branches."""
    for unit in found.units:
        if unit.form != "block" or unit.obstacle or len(unit.branches) < 2:
            continue
        if scale == "block" and unit.shortcut is None and not unit.hollow:
            remedy = "scale='branch' or granularity='branch' can gate it"
            unit.obstacle = f"{unit.masked or 'what it leaves is not known'}; {remedy}"
        if scale == "branch" and any(branch.obstacle for branch in unit.branches):
            remedy = "granularity='block' with scale='block' can gate it"
            unit.obstacle = f"one of its branches leaves in no child; {remedy}"


def _gates(unit: Unit, granularity: Granularity) -> list[tuple[Unit, int, tuple[Branch, ...]]]:
    if granularity == "block" or not unit.branches:
        return [(unit, use, unit.branches) for use in range(unit.uses)]
    return [(unit, use, (branch,)) for use in range(unit.uses) for branch in unit.branches]


def _record(
    index: int,
    unit: Unit,
    use: int,
    branches: tuple[Branch, ...],
    transitions: Transitions,
    flops: Callable[[list[str]], float] | None,
) -> Block:
    reason = _obstacle(unit, branches) or _protection(branches, transitions)
    single = len(branches) < len(unit.branches)
    return Block(
        index=index,
        path=unit.path,
        branch=branches[0].label if single else "",
        kind=unit.kind,
        droppable=not reason,
        reason=reason,
        cost=1.0 if flops is None else _cost(unit, branches, flops),
        masked="" if reason else _masked(unit, branches, single),
        use=use,
    )


def _obstacle(unit: Unit, branches: tuple[Branch, ...]) -> str:
    alone = len(branches) == len(unit.branches)
    return unit.obstacle or ("" if alone else branches[0].obstacle)


def _masked(unit: Unit, branches: tuple[Branch, ...], single: bool) -> str:
    known = next(iter(unit.patterns.values()), None)
    reason: str = unit.masked or ("" if known is None else known.masked)
    if reason:
        return reason
    if single and not all(branch.spared for branch in branches):
        return "its branch cannot be left out of a forward in which others run"
    return ""


def _cost(unit: Unit, branches: tuple[Branch, ...], flops: Callable[[list[str]], float]) -> float:
    inside = f"{unit.path}." if unit.path else ""
    if len(branches) < len(unit.branches) or unit.form == "own" or unit.hollow:
        # Its own forward still runs: only the children on its branches are saved.
        paths = [f"{inside}{path}" for branch in branches for path in branch.modules]
        return flops(paths) / unit.uses
    kept = unit.shortcut.modules if unit.shortcut is not None else ()
    # A dropped block still computes its shortcut.
    return (flops([unit.path]) - flops([f"{inside}{path}" for path in kept])) / unit.uses


def _protection(branches: tuple[Branch, ...], transitions: Transitions) -> str:
    if transitions == "drop" or all(branch.kind != "projection" for branch in branches):
        return ""
    return "its shortcut is a projection"
