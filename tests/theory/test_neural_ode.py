"""The solver of the ODE against scipy and its own order."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import solve_ivp

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument


def field(t, h):
    return torch.tanh(torch.stack([h[1] * math.cos(3 * t), -h[0] + t]))


def test_against_scipy():
    start = torch.tensor([0.3, -1.2], dtype=torch.float64)
    reference = solve_ivp(
        lambda t, h: field(t, torch.from_numpy(h)).numpy(),
        (0, 1),
        start.numpy(),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    ).y[:, -1]
    errors = [
        float((theory.solve_ode(field, start, n) - torch.from_numpy(reference)).norm())
        for n in (16, 32, 64)
    ]
    assert errors[-1] < 1e-8
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert orders == pytest.approx([4, 4], abs=0.3)


def test_steps_are_checked():
    with pytest.raises(InvalidArgument, match="steps must be at least 1; got 0"):
        theory.solve_ode(field, torch.ones(2), 0)
