"""Randomness outside the gates: a resumed run goes on where it was."""

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

from ...gates import stream
from .._processes import gathered
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
        self.resumed: list[dict[str, Any]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states of every process as tensors and plain numbers."""
        numpy_state: Any = np.random.get_state(legacy=False)
        own = {
            "python": random.getstate(),
            "numpy": numpy_state | {"state": _plain(numpy_state["state"])},
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
        }
        return {"processes": gathered(own)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts: setting it up may draw numbers."""
        self.resumed = state_dict["processes"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the states that were loaded; a process that has none gets one of its own."""
        states, rank = self.resumed or [], trainer.global_rank
        if rank < len(states):
            random.setstate(states[rank]["python"])
            np.random.set_state(states[rank]["numpy"])
            torch.set_rng_state(states[rank]["torch"])
            torch.cuda.set_rng_state_all(states[rank]["cuda"])
        elif rank:
            seed = stream(self.batches.seed, trainer.global_step, rank).initial_seed()
            seed_everything(seed % 2**32, verbose=False)
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
