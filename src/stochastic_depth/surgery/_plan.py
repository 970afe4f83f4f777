"""Say beforehand what will drop, what never does and why, and what that saves."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import fail, network
from .._typing import Costs, Probabilities
from ..budgets import active_share
from ._asked import Survival, law_of, scheduled
from .following import Anatomy, Block, Granularity, Scale, Transitions
from .following._units import Other
from .running import CONTROLLER, require_plain, ways

SCALINGS = {
    ("block", "block"): "a gate scales the whole change of its block: its mean is the block",
    ("block", "branch"): "a gate scales each branch of its block: its mean is not the block",
    ("branch", "block"): "each branch has a gate of its own",
    ("branch", "branch"): "each branch has a gate of its own",
}
"""By granularity and scale, for models whose blocks have several branches."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What stochastic depth does, or would do, to a model; `print` shows it as a table.

    Attributes:
        model: class of the model.
        blocks: one record per gate.
        scheduled: survival probabilities asked for, shape (L,).
        survival: survival probabilities in force: protected blocks at 1, shape (L,).
        network_share: operations of all branches, as a share of the model's; None unless
            measured on an example.
        others: modules with a residual addition, or a mask, that have no gate, and why.
        scaling: what a gate scales, in words; empty where every block has one branch.
        compiled: how each block of a compiled model runs, by path; empty if it is not compiled.
    """

    model: str
    blocks: tuple[Block, ...]
    scheduled: Probabilities
    survival: Probabilities
    network_share: float | None
    others: tuple[Other, ...] = ()
    scaling: str = ""
    compiled: dict[str, str] = field(default_factory=dict)

    @cached_property
    def cost_share(self) -> Costs:
        """Cost of each block as a share of all blocks, shape (L,)."""
        costs = self.survival.new_tensor([block.cost for block in self.blocks])
        if not bool(costs.any()):  # nothing that is counted: all weigh the same
            costs = torch.ones_like(costs)
        return costs / costs.sum()

    @property
    def saving(self) -> Tensor:
        """Expected saving by each block, as a share of the cost of all blocks, shape (L,)."""
        return (1 - self.survival) * self.cost_share

    @property
    def expected_blocks(self) -> float:
        """Expected number of blocks that run."""
        return float(self.survival.sum())

    @property
    def live_share(self) -> float:
        """Expected cost of what runs, as a share of the cost of all blocks."""
        return active_share(self.survival, self.cost_share)

    def __str__(self) -> str:
        heads = ("block", "path", "kind", "schedule", "survival (drop)", "cost", "saving", "")
        rows = [heads, *(self._row(block) for block in self.blocks)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, heads)).rstrip() for row in rows]
        return "\n".join([*lines, "", *self._totals(), *self._compiled(), *self._ungated()])

    def _compiled(self) -> list[str]:
        """Say how blocks run in a compiled model, one line for each way."""
        groups: dict[str, list[str]] = {}
        for path, way in self.compiled.items():
            groups.setdefault(way, []).append(path or "(the model)")
        return [f"compiled {way} ({_named(paths)})" for way, paths in groups.items()]

    def _ungated(self) -> list[str]:
        """Name what has no gate, one line for each class and reason."""
        groups: dict[tuple[str, str], list[str]] = {}
        for other in self.others:
            groups.setdefault((other.kind, other.reason), []).append(other.path or "(the model)")
        return [
            f"no gate: {kind} ({_named(paths)}): {reason}"
            for (kind, reason), paths in groups.items()
        ]

    def _row(self, block: Block) -> tuple[str, ...]:
        p = float(self.survival[block.index])
        return (
            str(block.index),
            str(block),
            block.kind,
            f"{self.scheduled[block.index]:.3f}",
            f"{p:.3f} ({1 - p:.3f})",
            f"{self.cost_share[block.index]:.1%}",
            f"{self.saving[block.index]:.1%}",
            _verdict(block),
        )

    def _totals(self) -> list[str]:
        droppable = sum(block.droppable for block in self.blocks)
        noun = "branches" if any(block.branch for block in self.blocks) else "blocks"
        measured = self.network_share is not None
        share, left = self._droppable
        unit = "floating point operations of their branches" if measured else f"number of {noun}"
        lines = [
            f"{self.model}: {len(self.blocks)} {noun}, {droppable} droppable, "
            f"{len(self.blocks) - droppable} protected",
            f"expected {noun} {self.expected_blocks:.2f} of {len(self.blocks)} "
            f"(schedule alone {float(self.scheduled.sum()):.2f})",
            *([f"the droppable ones survive with {left:.3f} on average"] if 0 < share < 1 else []),
            f"live share {self.live_share:.3f} by {unit}",
        ]
        if self.network_share is not None:
            live = 1 - self.network_share * (1 - self.live_share)
            lines.append(f"live share {live:.3f} of all operations of the model")
        return [*lines, self.scaling] if self.scaling else lines

    @property
    def _droppable(self) -> tuple[float, float]:
        """Return what share of the cost may drop, and its mean survival."""
        marks = torch.tensor([block.droppable for block in self.blocks])
        share = float(self.cost_share[marks].sum())
        return share, float(self.cost_share[marks] @ self.survival[marks]) / (share or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in plain numbers and strings, as for JSON."""
        return {
            "model": self.model,
            "blocks": [
                {
                    "index": block.index,
                    "path": block.path,
                    "branch": block.branch,
                    "kind": block.kind,
                    "droppable": block.droppable,
                    "reason": block.reason,
                    "masked": block.masked,
                    "cost": block.cost,
                    "scheduled": float(self.scheduled[block.index]),
                    "survival": float(self.survival[block.index]),
                    "saving": float(self.saving[block.index]),
                }
                for block in self.blocks
            ],
            "expected_blocks": self.expected_blocks,
            "live_share": self.live_share,
            "network_share": self.network_share,
            "scaling": self.scaling,
            "compiled": self.compiled,
        }


def plan(
    model: nn.Module,
    survival: Survival = None,
    *,
    budget: float | None = None,
    granularity: Granularity = "block",
    scale: Scale = "block",
    transitions: Transitions = "protect",
    example: Any | None = None,
) -> Plan:
    """Return what `apply` with these arguments would do, or what it has done.

    A model that has stochastic depth shows its own plan; the other arguments are for one
    that has not, and are those of `apply`.

    Args:
        model: the model; it is left as it is.
        survival: see `apply`.
        budget: see `apply`.
        granularity: see `apply`.
        scale: see `apply`.
        transitions: see `apply`.
        example: see `apply`.

    Returns:
        The plan. Costs are floating point operations if an example was given; otherwise
        all blocks weigh the same.

    Raises:
        NothingToDrop: no block may be dropped.
        InvalidArgument: an argument out of range, or given for a model that has
            stochastic depth.

    Example:
        >>> import stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> print(sd.plan(model, sd.schedules.linear(0.5)))
        block  path      kind      schedule  survival (drop)   cost  saving
            0  blocks.0  Residual     0.833    0.833 (0.167)  33.3%    5.6%  droppable
            1  blocks.1  Residual     0.667    0.667 (0.333)  33.3%   11.1%  droppable
            2  blocks.2  Residual     0.500    0.500 (0.500)  33.3%   16.7%  droppable
        <BLANKLINE>
        CifarResNet: 3 blocks, 3 droppable, 0 protected
        expected blocks 2.00 of 3 (schedule alone 2.00)
        live share 0.667 by number of blocks
    """
    name = type(network("model", model)).__name__
    controller = vars(model).get(CONTROLLER)
    if controller is not None:
        if survival is not None or budget is not None:
            remedy = "Set handle.survival, or call handle.remove() and plan again."
            given = budget if survival is None else survival
            raise fail("survival", "left out for a model that has it", repr(given), remedy)
        p = controller.law.survival
        anatomy = controller.anatomy
        return _plan(name, anatomy, p, p, controller.options.scale, ways(model))
    require_plain(model)
    anatomy = Anatomy.of(model, granularity, transitions, example, scale=scale)
    anatomy.require_droppable(model)
    asked = scheduled(model, anatomy, survival, budget)
    in_force = law_of(anatomy, survival, asked, "train").survival
    return _plan(name, anatomy, asked, in_force, scale)


def _plan(
    name: str,
    anatomy: Anatomy,
    asked: Probabilities,
    in_force: Probabilities,
    scale: Scale,
    compiled: dict[str, str] | None = None,
) -> Plan:
    several = any(len(unit.branches) > 1 for unit in anatomy.survey.units)
    scaling = SCALINGS[anatomy.granularity, scale] if several else ""
    others = anatomy.survey.others
    return Plan(
        name, anatomy.blocks, asked, in_force, anatomy.share, others, scaling, compiled or {}
    )


def _named(paths: list[str]) -> str:
    return f"{', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''}"


def _verdict(block: Block) -> str:
    if not block.droppable:
        return f"always runs: {block.reason}"
    return f"droppable, but runs: {block.masked}" if block.masked else "droppable"


def _aligned(cell: str, width: int, head: str) -> str:
    left = head in ("path", "kind", "")
    return cell.ljust(width) if left else cell.rjust(width)
