"""Means over batches that stay on the device until they are asked for."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class RunningMean:
    """Means of `size` quantities, read at leisure.

    Adding never waits for the device, unlike a metric that returns a Python number at
    every step.

    Args:
        size: number of quantities.
        device: where they are added up.

    Example:
        >>> mean = RunningMean(1)
        >>> mean.add(torch.tensor([3.0]), count=2)
        >>> mean.read()
        [1.5]
    """

    def __init__(self, size: int, device: torch.device | str = "cpu") -> None:
        self.sums = torch.zeros(size, device=device)
        self.count = 0

    def add(self, sums: Float[Tensor, " size"], count: int) -> None:
        """Add the sums of `count` observations."""
        self.sums += sums
        self.count += count

    def read(self) -> list[float]:
        """Return the means since the last reading, NaN without any. Waits for the device."""
        means = (self.sums.double() / (self.count or torch.nan)).tolist()
        self.sums.zero_()
        self.count = 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the sums."""
        return {"sums": self.sums, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the sums of a checkpoint."""
        self.sums.copy_(state["sums"])
        self.count = state["count"]


class Score(NamedTuple):
    """Mean loss, and share of wrong answers in per cent."""

    loss: float
    error: float


class RunningScore(RunningMean):
    """Loss and error of a classifier.

    Args:
        device: where the batches are.

    Example:
        >>> score = RunningScore()
        >>> logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
        >>> score.add_batch(torch.tensor(0.5), logits, torch.tensor([0, 1]))
        >>> score.score()
        Score(loss=0.5, error=50.0)
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(2, device)

    def add_batch(
        self, loss: Float[Tensor, ""], logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"]
    ) -> None:
        """Add one batch, given its mean loss."""
        wrong = (logits.argmax(1) != labels).sum()
        self.add(torch.stack([loss.detach() * len(labels), wrong]), len(labels))

    def score(self) -> Score:
        """Return loss and error since the last reading. Waits for the device."""
        loss, wrong = self.read()
        return Score(loss, 100 * wrong)


class RunningGradient(RunningMean):
    """Mean magnitude of the gradient of one weight, over the steps that gave it one.

    Args:
        weight: of the first convolution of the first residual block; None measures nothing.
        device: where training runs.

    References:
        Huang et al. 2016, section 5 and figure 7.
    """

    def __init__(self, weight: nn.Parameter | None, device: torch.device | str = "cpu") -> None:
        super().__init__(1, device)
        self.weight = weight

    def add_step(self) -> None:
        """Add the gradient of one step."""
        if self.weight is not None and self.weight.grad is not None:
            self.add(self.weight.grad.abs().mean(), 1)

    def magnitude(self) -> float | None:
        """Return the mean since the last reading, None without any. Waits for the device."""
        return self.read()[0] if self.count else None
