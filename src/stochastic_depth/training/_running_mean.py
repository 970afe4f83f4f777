"""Means over the steps of an epoch that stay on the device until they are asked for.

A step appends what it computed and adds nothing up: no step waits for the device, and
a small network is not slowed by kernels of its bookkeeping.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Score(NamedTuple):
    """Mean loss, and share of wrong answers in per cent."""

    loss: float
    error: float


class RunningScore:
    """Loss and error of a classifier over batches.

    Example:
        >>> running = RunningScore()
        >>> logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
        >>> running.add(torch.tensor(0.5), logits, torch.tensor([0, 1]))
        >>> running.read()
        Score(loss=0.5, error=50.0)
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []  # mean of each batch
        self.wrong: list[Tensor] = []  # one boolean per image of each batch

    @classmethod
    def merged(cls, states: Sequence[Mapping[str, Any]]) -> "RunningScore":
        """Return the score over the batches of several others, given their states."""
        score = cls()
        for state in states:
            score.losses += state["losses"]
            score.wrong += state["wrong"]
        return score

    def add(
        self, loss: Float[Tensor, ""], logits: Float[Tensor, "N K"], labels: Int[Tensor, " N"]
    ) -> None:
        """Add a batch, given its mean loss."""
        self.losses.append(loss.detach())
        self.wrong.append(logits.argmax(1) != labels)

    def read(self) -> Score:
        """Return the means over the images since the last reading. Waits for the device."""
        sizes = torch.tensor([len(batch) for batch in self.wrong], dtype=torch.float64)
        losses = torch.stack(_on_one_device(self.losses)).to("cpu", torch.float64)
        error = torch.cat(_on_one_device(self.wrong)).to("cpu", torch.float64).mean()
        self.losses, self.wrong = [], []
        return Score(float(losses @ sizes / sizes.sum()), 100 * float(error))

    def state_dict(self) -> dict[str, Any]:
        """Return the batches so far."""
        return {"losses": self.losses, "wrong": self.wrong}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the batches of a checkpoint."""
        self.losses, self.wrong = list(state["losses"]), list(state["wrong"])


class RunningGradient:
    """Mean magnitude of the gradient of one weight, over the steps that gave it one.

    Args:
        weight: of the first convolution of the first residual block; None measures nothing.

    References:
        Huang et al. 2016, section 5 and figure 7.
    """

    def __init__(self, weight: nn.Parameter | None) -> None:
        self.weight = weight
        self.sums: list[Tensor] = []

    def add(self) -> None:
        """Add the gradient that the weight has now."""
        if self.weight is not None and self.weight.grad is not None:
            self.sums.append(torch.linalg.vector_norm(self.weight.grad, 1))

    def read(self) -> float | None:
        """Return the mean since the last reading, None without any. Waits for the device."""
        if self.weight is None or not self.sums:
            return None
        sums = torch.stack(_on_one_device(self.sums))
        self.sums = []
        return float(sums.to("cpu", torch.float64).mean()) / self.weight.numel()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps so far."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the steps of a checkpoint."""
        self.sums = list(state["sums"])


def _on_one_device(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Bring what came out of a checkpoint to where the rest is."""
    return [tensor.to(tensors[-1].device) for tensor in tensors]
