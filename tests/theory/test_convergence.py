"""Orders of convergence."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument

DEPTHS = (8, 16, 32, 64)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_errors_of_a_known_order(order):
    generator = torch.Generator().manual_seed(1)
    errors = [
        3 * depth**-order * (1 + torch.rand(400, generator=generator)) * sign
        for depth, sign in zip(DEPTHS, (1, -1, 1, -1), strict=True)
    ]
    found = theory.convergence_order(DEPTHS, errors)
    # Five of its own standard errors, which are below 0.01.
    assert abs(found.value - order) < 5 * found.standard_error
    assert found.standard_error < 0.012


def test_networks_converge_strongly_to_the_sde_with_order_one_half():
    # 200 paths of 1024 steps, width 5: the order is known to 0.02, and 0.44 to 0.56
    # leaves three of these.
    noise = theory.brownian_increments(
        1024, (200, 5, 5), generator=torch.Generator().manual_seed(3)
    )
    start = torch.ones(200, 5)
    limit = theory.solve_sde(theory.res1_diffusion, start, noise)
    errors = [
        (theory.solve_sde(theory.res1_diffusion, start, theory.coarsened(noise, n)) - limit).norm(
            dim=-1
        )
        for n in DEPTHS
    ]
    assert theory.convergence_order(DEPTHS, errors).value == pytest.approx(0.5, abs=0.06)


def test_refusals():
    with pytest.raises(InvalidArgument, match="errors must be 2 samples, one per depth; got 1"):
        theory.convergence_order([1, 2], [torch.ones(3)])
    with pytest.raises(InvalidArgument, match="at least two draws at each depth; got 1"):
        theory.convergence_order([1, 2], [torch.ones(1)] * 2)
    with pytest.raises(InvalidArgument, match="different from zero on average"):
        theory.convergence_order([1, 2], [torch.zeros(3)] * 2)
    assert math.isfinite(theory.convergence_order([1, 2], [torch.ones(3)] * 2).value)
