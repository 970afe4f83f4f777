"""Survival in proportion to sensitivities, estimated again as training goes on."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import cross_entropy

from ... import budgets
from ..._checks import count
from ..._typing import Probabilities
from ...surgery import Handle
from .._sensitivities import mean_sensitivities
from ..data import Batch


class SenseMode(Callback):
    """Estimate sensitivities every `interval` steps and refit the schedule to the budget.

        p_l = min(1, minimum + c |S_l|),   c solved for the budget

    Use it beside `sd.apply` in any Lightning training. Estimates are in the checkpoint: a
    run that is resumed has the probabilities that the uninterrupted run would have had.

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

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Refit the schedule if it is time."""
        step = trainer.global_step
        if step % self.interval == 0 and step not in self.steps[-1:]:
            self.handle.survival = self._fitted(step)
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

    def _fitted(self, step: int) -> Probabilities:
        sensitivities = mean_sensitivities(self.handle.model, self.batches(step), self.loss)
        protected = torch.tensor([not block.droppable for block in self.handle.blocks])
        return budgets.sense(sensitivities, self.budget, self.minimum, protected=protected)
