"""Survival by sensitivity: how much the loss on training images depends on each block.

Measured once (`mean_sensitivities`), set beside schedules of the same budget
(`alternatives`), and measured again as training goes on (`SenseSchedule`).
"""

import copy
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from .. import budgets, schedules, theory
from .._checks import count
from .._errors import InfeasibleBudget
from .._typing import Probabilities
from ..surgery import Block, Granularity, Handle, Transitions, apply, find_blocks, gated, plan
from .data import Batch


def mean_sensitivities(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Float[Tensor, " L"]:
    """Return the size of the derivative of the loss in every gate, averaged over batches.

        mean over batches of |S_l|,   S_l = d loss(f(x; d), y) / d d_l at d = 1

    Each batch is normalised by its own statistics, held fixed: at initialisation the running
    ones are 0 and 1, and would normalise nothing. Dropout is off, no random number is drawn,
    and the model is left as it is.

    Args:
        model: images -> logits, with or without stochastic depth.
        batches: inputs and targets, on the device of the model; at least one batch.
        loss: scalar mean over samples.

    Returns:
        float64 tensor of shape (L,) on the CPU, for `budgets.sense`.

    Raises:
        NothingToDrop: the model has no blocks.
        Unsupported: samples meet in the model other than in batch normalisation.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> batch = torch.randn(4, 3, 16, 16), torch.tensor([1, 2, 3, 4])
        >>> strength = mean_sensitivities(model, [batch])
        >>> sd.budgets.sense(strength, budget=0.4).mean()
        tensor(0.4000, dtype=torch.float64)

    References:
        Hayou & Ayed 2021, section 5; they do not say on how many batches.
    """
    analysed = copy.deepcopy(model).requires_grad_(False).eval()
    norms = [module for module in analysed.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of one batch
    f = gated(analysed)
    sizes = []
    for x, y in batches:
        _take_statistics(norms, lambda x=x: f(x, torch.ones(len(f.blocks))))  # type: ignore[misc]
        sizes.append(theory.sensitivities(f, x, y, loss).abs())
    return torch.stack(sizes).mean(0).double().cpu()


def _take_statistics(norms: Iterable[nn.Module], forward: Callable[[], object]) -> None:
    for norm in norms:
        norm.train()
    with torch.no_grad():
        forward()
    for norm in norms:
        norm.eval()


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


class SenseSchedule:
    """Estimate sensitivities every `interval` steps and refit the schedule to the budget.

        p_l = min(1, minimum + c |S_l|),   c solved for the budget

    Estimates are in the state: a run that is resumed has the probabilities that the
    uninterrupted run would have had.

    Args:
        handle: what `sd.apply` returned.
        batches: number of a step -> inputs and targets to estimate on, on the device of
            the model; a function of the step alone, so that a resumed run estimates the same.
        budget: expected active share of the blocks, in (0, 1].
        interval: steps between two estimates, at least 1; the first is before step 0.
        minimum: smallest survival probability, in [0, 1].
        loss: scalar mean over samples.

    Raises:
        InvalidArgument: `interval` below 1; while training, all sensitivities zero.
        InfeasibleBudget: while training, the budget is out of reach.

    References:
        Hayou & Ayed 2021, sections 5 and 6, where sensitivities are those at initialisation.
    """

    def __init__(
        self,
        handle: Handle,
        batches: Callable[[int], Iterable[Batch]],
        budget: float,
        interval: int,
        *,
        minimum: float = 0.0,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    ) -> None:
        self.handle = handle
        self.batches = batches
        self.budget = budget
        self.interval = count("interval", interval)
        self.minimum = minimum
        self.loss = loss
        self.steps: list[int] = []
        self.estimates: list[Probabilities] = []

    def refit(self, step: int) -> None:
        """Refit the schedule before step `step`, if it is time."""
        if step % self.interval == 0 and step not in self.steps[-1:]:
            strength = mean_sensitivities(self.handle.model, self.batches(step), self.loss)
            protected = torch.tensor([not block.droppable for block in self.handle.blocks])
            fitted = budgets.sense(strength, self.budget, self.minimum, protected=protected)
            self.handle.survival = fitted
            self.steps.append(step)
            self.estimates.append(self.handle.survival)

    def survival(self, step: int) -> Probabilities:
        """Return the probabilities in force at a step that has begun."""
        place = bisect_right(self.steps, step)
        return self.estimates[place - 1] if place else self.handle.survival

    def state_dict(self) -> dict[str, Any]:
        """Return the steps of the estimates, and the probabilities fitted to each."""
        return {"steps": list(self.steps), "estimates": list(self.estimates)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the probabilities of a checkpoint."""
        self.steps = list(state_dict["steps"])
        self.estimates = list(state_dict["estimates"])
        if self.estimates:
            self.handle.survival = self.estimates[-1]
