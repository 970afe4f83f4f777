"""Loss and error of a network on a set of images."""

import torch
from lightning.pytorch import LightningModule
from torch.nn.functional import cross_entropy

from ._running_mean import RunningScore, Score
from .data import Batches


def evaluate(module: LightningModule, images: Batches) -> Score:
    """Evaluate in evaluation mode: the mean of the gates, the running statistics.

    Args:
        module: on the device of the images; its training mode is restored.
        images: at least one batch.

    Returns:
        Mean loss, and error in per cent.
    """
    score = RunningScore()
    was_training = module.training
    module.eval()
    with torch.no_grad(), module.trainer.precision_plugin.forward_context():
        for inputs, labels in images:
            logits = module(module.trainer.precision_plugin.convert_input(inputs))
            score.add(cross_entropy(logits, labels), logits, labels)
    module.train(was_training)
    return score.read()
