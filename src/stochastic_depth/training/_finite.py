"""Stops a run that has diverged, before it overwrites what was good."""

import math

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from .._errors import TrainingDiverged

REMEDY = (
    "The last good checkpoint is kept. "
    "Lower learning_rate.initial, or lengthen learning_rate.warmup_epochs."
)


def check_finite(quantity: str, value: float, step: int) -> None:
    """Refuse a number that is NaN or infinite.

    Raises:
        TrainingDiverged: it is.
    """
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"The {quantity} must stay finite; at step {step} it is {value}. {REMEDY}"
        )


def check_finite_state(model: nn.Module, step: int) -> None:
    """Refuse parameters and buffers that are NaN or infinite. Waits for the device.

    Raises:
        TrainingDiverged: some are.
    """
    for name, tensor in model.state_dict().items():
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        if not torch.isfinite(local).all():
            raise TrainingDiverged(f"{name} must stay finite; at step {step} it is not. {REMEDY}")
