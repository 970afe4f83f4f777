"""The solver of the SDE against the network it is the limit of, and against exact moments."""

import math

import pytest
import torch
from scipy import stats

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import scaled_states


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_increments_are_those_of_brownian_motion():
    noise = theory.brownian_increments(50, (20_000,), generator=generator(), dtype=torch.float64)
    # Sums at 1/2 and 1, n = 20,000: variances to sqrt(2/n) = 1 %, covariance E B_1/2 B_1 =
    # 1/2 to sqrt((1/2 + 1/4)/n) = 0.6 %; 4 of each.
    half, whole = noise[:25].sum(0), noise.sum(0)
    assert float(whole.square().mean()) == pytest.approx(1.0, abs=0.04)
    assert float((half * whole).mean()) == pytest.approx(0.5, abs=0.025)
    assert stats.kstest(whole.numpy(), "norm").pvalue > 1e-4


def test_coarser_increments_sum_to_the_same_path():
    noise = theory.brownian_increments(12, (3, 2), generator=generator())
    coarse = theory.coarsened(noise, 4)
    torch.testing.assert_close(coarse[1], noise[3:6].sum(0))
    torch.testing.assert_close(theory.coarsened(noise, 1)[0], noise.sum(0))
    with pytest.raises(InvalidArgument, match="steps must be a divisor of 12; got 5"):
        theory.coarsened(noise, 5)
    with pytest.raises(InvalidArgument, match="steps must be at least 1"):
        theory.brownian_increments(0, (3,))


def test_res1_networks_are_the_method_of_euler_and_maruyama():
    depth, width = 30, 6
    noise = theory.brownian_increments(
        depth, (4, width, width), generator=generator(), dtype=torch.float64
    )
    start = torch.randn(4, width, generator=generator(1), dtype=torch.float64)
    layers = (noise * math.sqrt(depth / width))[:, None]
    *_, last = scaled_states(start[:, None], layers, depth**-0.5)
    solved = theory.solve_sde(theory.res1_diffusion, start, noise)
    torch.testing.assert_close(solved, last[:, 0])


def test_res3_equation_has_its_closed_law():
    # Kolmogorov-Smirnov, n = 5000: 1.95/sqrt(n) is exceeded once in 1000 seeds, and 0.01
    # is left for the error of 300 steps.
    noise = theory.brownian_increments(300, (5000, 8), generator=generator(2))
    end = theory.solve_sde(theory.res3_diffusion, torch.ones(5000, 8), noise)
    law = theory.limit_law(8).base_dist
    normal = stats.norm(float(law.mean), float(law.stddev))
    logs = (end.double().square().sum(-1) / 8).log().numpy()
    assert stats.kstest(logs, normal.cdf).statistic < 1.95 / math.sqrt(5000) + 0.01
