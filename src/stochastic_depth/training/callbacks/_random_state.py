"""Randomness outside the gates: a resumed run goes on where it was."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ..data import Batches


class RandomState(Callback):
    """Save the global generators in every checkpoint and set them on resuming.

    Gates and batches have streams of their own; this is for whatever else the network
    draws, such as dropout.

    Args:
        batches: to train on.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.resumed: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states as tensors and plain numbers."""
        numpy_state: Any = np.random.get_state(legacy=False)
        return {
            "python": random.getstate(),
            "numpy": numpy_state | {"state": _plain(numpy_state["state"])},
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts: setting it up may draw numbers."""
        self.resumed = state_dict

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the states that were loaded."""
        if self.resumed is None:
            return
        random.setstate(self.resumed["python"])
        np.random.set_state(self.resumed["numpy"])
        torch.set_rng_state(self.resumed["torch"])
        torch.cuda.set_rng_state_all(self.resumed["cuda"])
        self.resumed = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the batches be those of this epoch."""
        # Lightning restores its loaders within an epoch, but not after the end of one.
        self.batches.set_epoch(trainer.current_epoch)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Return numpy's state with lists for arrays: checkpoints hold no foreign types."""
    return {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in state.items()
    }
