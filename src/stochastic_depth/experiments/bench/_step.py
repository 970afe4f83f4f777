"""One training step, with the time it took and the blocks it ran."""

import time

import torch
from torch import Tensor, nn

from ...surgery import Handle


class Step:
    """A network, its optimizer and a batch.

    Args:
        model: the network.
        batch: images and labels.
        handle: of the gates that the network draws, if it does.
        gates: fixed gates, shape (L,).
    """

    def __init__(
        self,
        model: nn.Module,
        batch: tuple[Tensor, Tensor],
        handle: Handle | None = None,
        gates: Tensor | None = None,
    ) -> None:
        self.handle = handle
        self.model = model.to(memory_format=torch.channels_last)
        self.arguments = (batch[0],) if gates is None else (batch[0], gates)
        self.labels = batch[1]
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4
        )

    def seconds(self) -> float:
        """Train one step and return its time.

        With one thread this is processor time, which neighbours on the machine disturb
        least; with several it is wall time.
        """
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        start = clock()
        logits = self.model(*self.arguments)
        nn.functional.cross_entropy(logits, self.labels).backward()
        self.optimizer.step()
        # Now and not before the next step: gradients that stay, of many networks in turn,
        # scatter the memory of the others.
        self.optimizer.zero_grad()
        return clock() - start

    @property
    def per_sample(self) -> bool:
        """Say whether each sample drew its own gates in the last step."""
        gates = self.handle.gates if self.handle is not None else None
        return gates is not None and gates.ndim == 2

    def live(self, expected: Tensor) -> Tensor:
        """Return the share of samples that ran each block in the last step, shape (L,).

        Args:
            expected: what to return for a network that computes what it drops.
        """
        gates = self.handle.gates if self.handle is not None else None
        if gates is None:
            return expected
        active = (gates != 0).double()
        return active if active.ndim == 1 else active.mean(1)
