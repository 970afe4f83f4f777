"""Small networks in float64, smooth and not, and losses for them."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import stochastic_depth as sd
from tests.helpers import Toy


def smooth(depth=6, width=5, scale=0.5, seed=0):
    """Tanh before and after the weights: curved in every gate."""
    torch.manual_seed(seed)

    def branch():
        return nn.Sequential(nn.Tanh(), nn.Linear(width, width), nn.Tanh())

    blocks = nn.ModuleList(sd.blocks.Residual(branch(), scale=scale) for _ in range(depth))
    return Toy(blocks).double()


def relu(depth=6, width=16, inputs=5, outputs=3, seed=0, **arguments):
    torch.manual_seed(seed)
    return sd.models.VanillaResNet(depth, width, inputs, outputs, **arguments).double()


def batch(samples=7, inputs=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, inputs, generator=generator, dtype=torch.float64)


def square(outputs, y):
    """The quadratic loss of Hayou & Ayed."""
    return (outputs - y).square().flatten(1).sum(1).mean()


def softplus(outputs, y):
    """A loss that no library knows."""
    return torch.log1p((outputs * y).sum(1).exp()).mean()


def targets(outputs=5, samples=7):
    generator = torch.Generator().manual_seed(2)
    real = torch.randn(samples, outputs, generator=generator, dtype=torch.float64)
    classes = torch.randint(0, outputs, (samples,), generator=generator)
    return {"square": real, "mse": real, "softplus": real, "cross-entropy": classes}


def at_point(at, depth=6):
    return torch.ones(depth).double() if at is None else torch.tensor(at, dtype=torch.float64)


LOSSES = {"square": square, "mse": mse_loss, "softplus": softplus, "cross-entropy": cross_entropy}

POINTS = {
    "ones": None,
    "inside": [0.9, 0.2, 0.7, 1.3, 0.0, 0.5],
}
"""Where derivatives are taken in networks of six blocks: at 1, and at gates of no special kind."""
