"""Solvers of the limits against scipy, exact moments and networks; orders of convergence."""

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import scaled_states
from stochastic_depth.papers.marion2022 import _limits as limits


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_increments_are_those_of_brownian_motion():
    noise = limits.brownian_increments(50, (20_000,), generator=seeded(), dtype=torch.float64)
    # Sums at 1/2 and 1, n = 20,000: variances to sqrt(2/n) = 1 %, covariance E B_1/2 B_1 =
    # 1/2 to sqrt((1/2 + 1/4)/n) = 0.6 %; 4 of each.
    half, whole = noise[:25].sum(0), noise.sum(0)
    assert float(whole.square().mean()) == pytest.approx(1.0, abs=0.04)
    assert float((half * whole).mean()) == pytest.approx(0.5, abs=0.025)
    assert stats.kstest(whole.numpy(), "norm").pvalue > 1e-4


def test_coarser_increments_sum_to_the_same_path():
    noise = limits.brownian_increments(12, (3, 2), generator=seeded())
    coarse = limits.coarsened(noise, 4)
    torch.testing.assert_close(coarse[1], noise[3:6].sum(0))
    torch.testing.assert_close(limits.coarsened(noise, 1)[0], noise.sum(0))
    with pytest.raises(InvalidArgument, match="steps must be a divisor of 12; got 5"):
        limits.coarsened(noise, 5)
    with pytest.raises(InvalidArgument, match="steps must be at least 1"):
        limits.brownian_increments(0, (3,))


def test_res1_networks_are_the_method_of_euler_and_maruyama():
    depth, width = 30, 6
    noise = limits.brownian_increments(
        depth, (4, width, width), generator=seeded(), dtype=torch.float64
    )
    start = torch.randn(4, width, generator=seeded(1), dtype=torch.float64)
    layers = (noise * math.sqrt(depth / width))[:, None]
    *_, last = scaled_states(start[:, None], layers, depth**-0.5)
    solved = limits.solve_sde(limits.res1_diffusion, start, noise)
    torch.testing.assert_close(solved, last[:, 0])


def test_res3_equation_has_its_closed_law():
    # Kolmogorov-Smirnov, n = 5000: 1.95/sqrt(n) is exceeded once in 1000 seeds, and 0.01
    # is left for the error of 300 steps.
    noise = limits.brownian_increments(300, (5000, 8), generator=seeded(2))
    end = limits.solve_sde(limits.res3_diffusion, torch.ones(5000, 8), noise)
    law = theory.limit_law(8).base_dist
    normal = stats.norm(float(law.mean), float(law.stddev))
    logs = (end.double().square().sum(-1) / 8).log().numpy()
    assert stats.kstest(logs, normal.cdf).statistic < 1.95 / math.sqrt(5000) + 0.01


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
        float((limits.solve_ode(field, start, n) - torch.from_numpy(reference)).norm())
        for n in (16, 32, 64)
    ]
    assert errors[-1] < 1e-8
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert orders == pytest.approx([4, 4], abs=0.3)


def test_steps_are_checked():
    with pytest.raises(InvalidArgument, match="steps must be at least 1; got 0"):
        limits.solve_ode(field, torch.ones(2), 0)


DEPTHS = (8, 16, 32, 64)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_errors_of_a_known_order(order):
    generator = torch.Generator().manual_seed(1)
    errors = [
        3 * depth**-order * (1 + torch.rand(400, generator=generator)) * sign
        for depth, sign in zip(DEPTHS, (1, -1, 1, -1), strict=True)
    ]
    found = limits.convergence_order(DEPTHS, errors)
    # Five of its own standard errors, which are below 0.01.
    assert abs(found.value - order) < 5 * found.standard_error
    assert found.standard_error < 0.012


def test_networks_converge_strongly_to_the_sde_with_order_one_half():
    # 200 paths of 1024 steps, width 5: the order is known to 0.02, and 0.44 to 0.56
    # leaves three of these.
    noise = limits.brownian_increments(
        1024, (200, 5, 5), generator=torch.Generator().manual_seed(3)
    )
    start = torch.ones(200, 5)
    limit = limits.solve_sde(limits.res1_diffusion, start, noise)
    errors = [
        (limits.solve_sde(limits.res1_diffusion, start, limits.coarsened(noise, n)) - limit).norm(
            dim=-1
        )
        for n in DEPTHS
    ]
    assert limits.convergence_order(DEPTHS, errors).value == pytest.approx(0.5, abs=0.06)


def test_refusals():
    with pytest.raises(InvalidArgument, match="errors must be 2 samples, one per depth; got 1"):
        limits.convergence_order([1, 2], [torch.ones(3)])
    with pytest.raises(InvalidArgument, match="at least two draws at each depth; got 1"):
        limits.convergence_order([1, 2], [torch.ones(1)] * 2)
    with pytest.raises(InvalidArgument, match="different from zero on average"):
        limits.convergence_order([1, 2], [torch.zeros(3)] * 2)
    assert math.isfinite(limits.convergence_order([1, 2], [torch.ones(3)] * 2).value)
