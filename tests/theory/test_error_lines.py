"""What the analysis refuses is said in one line, which names what to do."""

import math

import pytest
import torch
from torch.nn.functional import l1_loss, mse_loss

import stochastic_depth as sd
from stochastic_depth.models import weights
from stochastic_depth.surgery import depth_check
from tests.theory.networks import batch, smooth, targets


def normalised():
    return sd.models.CifarResNet(8, num_classes=2, width=2).train()


def widening(depth):
    shortcut, branch = torch.nn.Linear(5, 6), torch.nn.Linear(5, 6)
    return torch.nn.Sequential(sd.blocks.Residual(branch, shortcut=shortcut))


F, X, Y = smooth(), batch(), targets()["mse"]
LAW = sd.gates.Bernoulli([0.5] * 6, rescale="test")
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1])

REFUSED = {
    "a loss without a Hessian": (
        lambda: sd.theory.regularizer(F, X, Y, l1_loss),
        "Use a squared error or a cross-entropy.",
    ),
    "a loss that torch.func cannot differentiate": (
        lambda: sd.theory.regularizer(F, X, Y, lambda o, y: torch.tensor(float(o.sum()))),
        "Write it in operations that torch.func supports.",
    ),
    "batch statistics": (
        lambda: sd.theory.sensitivities(
            normalised(), IMAGES, LABELS, torch.nn.functional.cross_entropy
        ),
        "Call f.eval() before.",
    ),
    "batch statistics inside a gated model": (
        lambda: sd.theory.discrepancies(sd.gated(normalised()), IMAGES),
        "batch statistics and dropout must be off.",
    ),
    "too few masks": (
        lambda: sd.theory.diagnose(F, X, Y, mse_loss, LAW, masks=9),
        "Draw more masks.",
    ),
    "all sensitivities zero": (
        lambda: sd.budgets.sense([0.0, 0.0], budget=0.5),
        "or use a uniform schedule.",
    ),
    "a budget beyond the blocks that have a sensitivity": (
        lambda: sd.budgets.sense([1.0, 0.0], budget=0.6),
        "Choose a budget in that range or another way to spend it.",
    ),
    "a Hurst exponent outside (0, 1)": (
        lambda: weights.fractional(1.0),
        "for nearly constant ones pass 0.97 or use smooth.",
    ),
    "a beta that is not finite": (
        lambda: sd.models.depth_scale(math.inf, 10),
        "The branches are scaled by L^-beta.",
    ),
    "a depth below 1": (lambda: sd.models.depth_scale(0.5, 0), "must be at least 1; got 0."),
    "a width that does not stay": (
        lambda: depth_check(widening, [1, 2], torch.randn(2, 5), repetitions=2),
        "Build the branches at the width of their input.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_error_is_one_line_that_says_what_to_do(what):
    attempt, end = REFUSED[what]
    with pytest.raises(sd.StochasticDepthError, match=".") as caught:
        attempt()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(end)
