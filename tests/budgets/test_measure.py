from itertools import product
from math import log, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from torch.testing import assert_close

import stochastic_depth as sd
from tests.helpers import num_blocks, probabilities, probability

small = st.lists(probability, min_size=1, max_size=8)


def enumerated(p):
    """The law of the number of active blocks, over all 2^L gate vectors."""
    distribution = torch.zeros(len(p) + 1, dtype=torch.float64)
    for gates in product([0, 1], repeat=len(p)):
        chance = 1.0
        for gate, survival in zip(gates, p, strict=True):
            chance *= survival if gate else 1 - survival
        distribution[sum(gates)] += chance
    return distribution


@given(p=small)
def test_depth_distribution_is_the_enumeration_over_all_gates(p):
    assert_close(sd.budgets.depth_distribution(p), enumerated(p), atol=1e-12, rtol=0)


@given(p=small)
def test_moments_are_those_of_the_enumeration(p):
    depth = torch.arange(len(p) + 1, dtype=torch.float64)
    law = enumerated(p)
    mean = float(law @ depth)
    assert sd.budgets.expected_depth(p) == pytest.approx(mean, abs=1e-12)
    assert sd.budgets.depth_variance(p) == pytest.approx(float(law @ (depth - mean) ** 2), abs=1e-9)


def test_depth_distribution_agrees_with_scipy_on_the_published_network():
    p = sd.schedules.linear(0.5)(54)
    expected = stats.poisson_binom.pmf(range(55), p.numpy())
    assert_close(sd.budgets.depth_distribution(p), torch.as_tensor(expected), atol=1e-12, rtol=0)


def test_depth_distribution_of_ten_thousand_blocks_is_the_binomial():
    L, p = 10_000, 0.3
    ours = sd.budgets.depth_distribution([p] * L)
    assert ours.isfinite().all()
    assert float(ours.sum()) == pytest.approx(1, abs=1e-10)
    expected = torch.as_tensor(stats.binom.pmf(range(L + 1), L, p))
    assert_close(ours, expected, atol=1e-12, rtol=0)


def test_linear_decay_to_one_half_keeps_three_quarters_of_the_published_network():
    assert sd.budgets.expected_depth(sd.schedules.linear(0.5)(54)) == (3 * 54 - 1) / 4


def test_depth_interval_of_figure_1a():
    # Hayou & Ayed 2021, figure 1a: L = 100, mean survival one half, 95 %.
    uniform = [0.5] * 100
    linear = sd.budgets.fit(sd.schedules.linear, 100, 0.5)(100)
    assert sd.budgets.depth_interval(uniform, 0.05) == pytest.approx(14.76, abs=0.005)
    assert sd.budgets.depth_variance(linear) == pytest.approx(16.83, abs=0.005)
    assert sd.budgets.depth_interval(linear, 0.05) == pytest.approx(12.32, abs=0.005)


@given(p=probabilities, beta=st.floats(1e-9, 1 - 1e-9))
def test_depth_interval_solves_its_equation(p, beta):
    variance = sd.budgets.depth_variance(p)
    width = sd.budgets.depth_interval(p, beta)
    if variance < 1e-12:
        return
    value = log(2 / beta) / variance
    root = optimize.brentq(
        lambda t: (1 + t) * log(1 + t) - t - value, 0, 10 + 10 * value, xtol=1e-300, rtol=1e-13
    )
    assert width == pytest.approx(variance * root, rel=1e-9)


@given(p=small, beta=st.floats(0.01, 0.5))
def test_depth_interval_covers(p, beta):
    width = sd.budgets.depth_interval(p, beta)
    distance = (torch.arange(len(p) + 1) - sum(p)).abs()
    outside = float(enumerated(p)[distance > width + 1e-9].sum())
    assert outside <= beta


def test_a_network_without_chance_has_an_interval_of_width_zero():
    assert sd.budgets.depth_interval([1.0, 0.0, 1.0], 0.05) == 0


@pytest.mark.parametrize("beta", [0.0, 1.0, -1.0, 2.0, nan])
def test_beta_lies_between_zero_and_one(beta):
    with pytest.raises(sd.InvalidArgument, match="beta must be"):
        sd.budgets.depth_interval([0.5], beta)


@given(n=num_blocks, p=probability)
def test_active_share_without_costs_is_the_mean(n, p):
    survival = sd.schedules.linear(p)(n)
    assert sd.budgets.active_share(survival) == pytest.approx(float(survival.mean()))


def test_active_share_weighs_blocks_by_cost():
    share = sd.budgets.active_share([1.0, 0.5, 0.2], costs=[4, 2, 2])
    assert share == pytest.approx((4 + 1 + 0.4) / 8)
    assert sd.budgets.active_share([0.9, 0.1], costs=[1e6, 1e6]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ([0, 0], r"costs must be positive for some block; got 0 .* Leave costs out"),
        ([1, -1], r"costs\[1\] must be at least 0; got -1"),
        ([0, -1], r"costs\[1\] must be at least 0; got -1"),
        ([1, nan], r"costs\[1\] must be finite"),
        ([1, 1, 1], "costs must be a vector of 2 entries"),
        ([1, 1e13], "0 or within a factor of 1e12"),
    ],
)
def test_costs_are_checked(costs, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.budgets.active_share([0.5, 0.5], costs)


@pytest.mark.parametrize(
    "measure",
    [
        sd.budgets.expected_depth,
        sd.budgets.depth_variance,
        sd.budgets.depth_distribution,
        sd.budgets.active_share,
        lambda p: sd.budgets.depth_interval(p, 0.05),
    ],
)
@pytest.mark.parametrize("bad", [[1.2], [-0.1], [nan], [], [[0.5]]])
def test_probabilities_are_checked(measure, bad):
    with pytest.raises(sd.InvalidArgument, match=r"p(\[0\])? must be"):
        measure(bad)


@pytest.mark.parametrize("exponent", [20, 100, 200, 300])
def test_depth_interval_of_a_block_that_hardly_ever_drops(exponent):
    # v u^-1(C/v) = w solves (v + w) log(1 + w/v) - w = C; w is of ordinary size.
    variance, C = 10.0**-exponent, log(2 / 0.05)
    width = sd.budgets.depth_interval([10.0**-exponent], 0.05)
    assert (variance + width) * log(1 + width / variance) - width == pytest.approx(C)


def test_depth_interval_of_the_smallest_beta():
    widths = [sd.budgets.depth_interval([0.5] * 10, beta) for beta in (1e-300, 5e-324)]
    assert 200 < widths[0] < widths[1] < 220


def test_active_share_of_the_largest_costs():
    assert sd.budgets.active_share([1.0, 0.5], [1e308, 1e308]) == 0.75
    assert sd.budgets.active_share([1.0, 0.4], [5e-324, 1e-323]) == pytest.approx(0.6)


def test_a_block_without_cost_has_no_share():
    assert sd.budgets.active_share([0.5, 0.1, 1.0], costs=[3, 0, 1]) == (3 * 0.5 + 1) / 4
    assert sd.budgets.active_share([0.5, 0.1], costs=[0, 1e-300]) == 0.1


def test_budgets_are_the_same_under_another_default_device():
    def numbers():
        p, costs, protected = [0.9, 0.5, 0.1], [1, 2, 3], [False, False, True]
        return [
            sd.budgets.depth_distribution(p),
            sd.budgets.project(p, 0.8, costs, protected),
            sd.budgets.sense([0.1, -0.2, 0.3], 0.8, 0.1, costs, protected),
            sd.budgets.max_regularization([1.0, 2.0, 3.0], 0.6),
            sd.budgets.fit(sd.schedules.linear, 3, 0.8, costs, protected)(3),
            sd.budgets.fit(sd.schedules.uniform, 3, 0.8)(3),
        ]

    expected = numbers()
    with torch.device("meta"):
        found = numbers()
    assert_close(found, expected, rtol=0, atol=0)
