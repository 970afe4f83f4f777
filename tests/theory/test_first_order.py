"""The change to first order, against sampling and its limits."""

import math

import pytest
import torch

import stochastic_depth as sd
from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import weights

LAWS = {
    "none": None,
    "independent": sd.gates.Bernoulli([0.3, 0.9, 1.0, 0.7], rescale="train"),
    "dependent": sd.gates.FixedDepth([0.3, 0.9, 0.5, 0.7], rescale="test"),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize(
    "process", [weights.fractional(0.9), weights.fractional(0.1), weights.brownian()]
)
def test_branches_that_see_the_input_alone_agree(process, law):
    # n = 40,000 networks of width 3: the mean within 5 of its own standard errors.
    networks, depth, width = 40_000, 4, 3
    layers = weights.draw(process, depth, width, networks=networks, seed=8, dtype=torch.float64)
    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    branches = (layers[:, 0] @ torch.relu(layers[:, 1] @ start)[..., None])[..., 0]
    if law is not None:
        gates = law.sample(networks, generator=sd.gates.stream(8, 99)).double()
        branches = branches * gates[..., None]
    change = 0.7**2 * branches.sum(0).square().sum(-1) / start.square().sum()
    error = float(change.mean()) - theory.first_order_change(0.7, process.covariance(depth), law)
    assert abs(error) < 5 * float(change.std()) / math.sqrt(networks)


def test_it_is_the_first_order_of_the_exact_change_for_independent_weights():
    identity = weights.gaussian().covariance(50)
    got = theory.first_order_change(1e-3, identity)
    assert got == pytest.approx(50e-6 / 2, rel=1e-12)
    assert got == pytest.approx(theory.expected_change(1e-3, 50), rel=1e-4)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.9])
def test_its_exponent_is_near_the_critical_one(hurst):
    process = weights.fractional(hurst)
    small, large = (theory.first_order_change(1, process.covariance(n)) for n in (400, 1600))
    exponent = math.log(large / small) / math.log(4) / 2
    assert exponent == pytest.approx(theory.critical_exponent(hurst), abs=0.04)


def test_refusals():
    with pytest.raises(InvalidArgument, match="covariance must be a square matrix with ones"):
        theory.first_order_change(1, torch.ones(2, 3))
    with pytest.raises(InvalidArgument, match="covariance must be a square matrix with ones"):
        theory.first_order_change(1, 2 * torch.eye(2))
    with pytest.raises(InvalidArgument, match="law must be of 3 gates; got 4"):
        theory.first_order_change(1, torch.eye(3), LAWS["independent"])
    with pytest.raises(InvalidArgument, match="scale must be positive"):
        theory.first_order_change(0, torch.eye(3))
