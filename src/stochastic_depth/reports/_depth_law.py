"""The exact distribution of the number of live blocks in a step, where there is one."""

import math

import numpy as np
import torch

from ..budgets import depth_distribution
from ..experiments import RunRecord


def exact_depth_law(run: RunRecord) -> np.ndarray | None:
    """Return P(depth = k) for k = 0..L under the law of the gates of `run`.

    Independent gates give the Poisson-binomial law; a fixed depth gives floor(sum p) or
    ceil(sum p) blocks. With one draw per sample, or with probabilities that move during
    training, a step has no such law.

    Args:
        run: A record with blocks.

    Returns:
        Probabilities (L + 1,), or `None` where there is no law of one step.
    """
    depth = run.config.get("depth", {})
    if depth.get("per", "batch") != "batch" or probabilities_move(run):
        return None
    if depth.get("law", "bernoulli") == "bernoulli":
        return depth_distribution(torch.from_numpy(run.survival)).numpy()
    return _two_depths(float(run.survival.sum()), run.num_blocks)


def probabilities_move(run: RunRecord) -> bool:
    """Return whether survival probabilities change in the course of training."""
    depth = run.config.get("depth", {})
    return depth.get("curriculum", "constant") != "constant" or depth.get("interval") is not None


def _two_depths(expected: float, num_blocks: int) -> np.ndarray:
    law = np.zeros(num_blocks + 1)
    low = math.floor(expected)
    law[low] = 1 - (expected - low)
    if expected > low:
        law[low + 1] = expected - low
    return law
