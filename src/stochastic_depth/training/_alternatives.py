"""One budget spent by sensitivities, evenly, and by depth: three schedules side by side."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .. import budgets, schedules
from .._errors import InfeasibleBudget
from .._typing import Probabilities
from ..surgery import Block, Granularity, Transitions, apply, find_blocks, plan
from ._sensitivities import mean_sensitivities
from .data import Batch


@dataclass(frozen=True, eq=False)
class Alternatives:
    """What one budget may be spent on.

    Attributes:
        blocks: one record per gate, costs in floating point operations.
        sensitivities: mean |S_l|, shape (L,).
        survival: survival probabilities (L,), by name of the schedule.
        refused: why a schedule cannot meet the budget, by its name.
    """

    blocks: tuple[Block, ...]
    sensitivities: Float[Tensor, " L"]
    survival: Mapping[str, Probabilities]
    refused: Mapping[str, str]

    def of(self, name: str) -> Probabilities:
        """Return the probabilities of a schedule.

        Raises:
            InfeasibleBudget: it cannot meet the budget.
        """
        if name in self.refused:
            raise InfeasibleBudget(self.refused[name])
        return self.survival[name]

    def live_cost(self, name: str) -> float:
        """Return the expected share of the blocks' operations that a schedule runs."""
        costs = torch.tensor([block.cost for block in self.blocks], dtype=torch.float64)
        return budgets.active_share(self.survival[name], costs)

    def to_dict(self) -> dict[str, Any]:
        """Return it in plain numbers and strings, as for JSON."""
        return {
            "sensitivities": self.sensitivities.tolist(),
            "survival": {name: p.tolist() for name, p in self.survival.items()},
            "expected_blocks": {name: float(p.sum()) for name, p in self.survival.items()},
            "live_cost": {name: self.live_cost(name) for name in self.survival},
            "refused": dict(self.refused),
        }


def alternatives(
    model: nn.Module,
    batches: Iterable[Batch],
    budget: float,
    *,
    minimum: float = 0.0,
    granularity: Granularity = "block",
    transitions: Transitions = "protect",
    by_cost: bool = False,
) -> Alternatives:
    """Return the schedules sense, uniform and linear that meet a budget.

    Args:
        model: images -> logits, without stochastic depth; it is left as it is.
        batches: images and labels, at least one batch.
        budget: expected active share, in (0, 1], protected blocks included.
        minimum: smallest survival probability of sense.
        granularity: see `apply`.
        transitions: see `apply`.
        by_cost: whether the budget counts operations and not blocks.

    Raises:
        InvalidArgument: an argument out of range, or all sensitivities zero.
        NothingToDrop: no block may be dropped.
    """
    batches = list(batches)
    example = batches[0][0][:2]
    gating: dict[str, Any] = {"granularity": granularity, "transitions": transitions}
    blocks = find_blocks(model, example=example, **gating)
    analysed = copy.deepcopy(model)
    apply(analysed, torch.full((len(blocks),), 0.5), **gating)
    strength = mean_sensitivities(analysed, batches)

    def planned(family: Callable[..., schedules.Schedule]) -> Probabilities:
        measured = example if by_cost else None
        return plan(model, family, budget=budget, example=measured, **gating).survival

    costs = [block.cost for block in blocks] if by_cost else None
    protected = [not block.droppable for block in blocks]
    ways: dict[str, Callable[[], Probabilities]] = {
        "sense": lambda: budgets.sense(strength, budget, minimum, costs, protected),
        "uniform": lambda: planned(schedules.uniform),
        "linear": lambda: planned(schedules.linear),
    }
    survival, refused = {}, {}
    for name, way in ways.items():
        try:
            survival[name] = way()
        except InfeasibleBudget as error:
            refused[name] = str(error)
    return Alternatives(blocks, strength, survival, refused)
