"""Verdicts on families of networks."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import depth_scale, scaled_states, weights

DEPTHS = (20, 60, 200)


def networks(process, beta, width=20):
    def change(depth):
        layers = weights.draw(process, depth, width, networks=30, seed=depth)
        scale = depth_scale(beta, depth)
        return theory.relative_change(scaled_states(torch.ones(30, 1, width), layers, scale))

    return change


@pytest.mark.parametrize(
    ("process", "hurst"),
    [(weights.uniform(), 0.5), (weights.fractional(0.9), 0.9), (weights.smooth(0.1), 1.0)],
)
@pytest.mark.parametrize("shift", [-0.45, 0.0, 0.5])
def test_networks_are_told_apart(process, hurst, shift):
    beta = theory.critical_exponent(hurst) + shift
    found = theory.classify(networks(process, beta), DEPTHS, margin=0.15)
    assert found.verdict == theory.regime(beta, hurst) if shift else "stable"
    if shift > 0:
        assert found.exponent.value == pytest.approx(-shift, abs=0.15)


def made(slope, spread, shape=(50,)):
    def change(depth):
        generator = torch.Generator().manual_seed(depth)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64) * spread
        log10 = slope * math.log10(depth) + noise
        return theory.RelativeChange(log10, torch.zeros(shape, dtype=torch.long))

    return change


@pytest.mark.parametrize(
    ("slope", "spread", "verdict"),
    [
        (0.0, 0.01, "stable"),
        (0.3, 0.01, "explosion"),
        (-0.3, 0.01, "identity"),
        (0.1, 0.05, "undecided"),
        (0.0, 20.0, "undecided"),
    ],
)
def test_verdicts_follow_the_interval(slope, spread, verdict):
    found = theory.classify(made(slope, spread), (10, 100, 1000))
    assert found.verdict == verdict
    assert found.exponent.low < slope < found.exponent.high
    assert verdict in str(found)


def test_samples_of_one_network_are_not_repetitions():
    # Further axes are averaged over: 50 repetitions whatever the number of inputs.
    plain = theory.classify(made(0.0, 1.0), (10, 1000)).exponent
    many = made(0.0, 1.0)

    def repeated(depth):
        change = many(depth)
        return theory.RelativeChange(change.log10[:, None].expand(50, 9), change.overflow)

    copied = theory.classify(repeated, (10, 1000)).exponent
    assert copied.standard_error == pytest.approx(plain.standard_error)


def test_overflow_is_an_explosion_with_its_place():
    found = theory.classify(networks(weights.gaussian(), beta=0.0), (10, 1000))
    assert found.verdict == "explosion"
    assert found.exponent is None
    depth, layer = found.overflow
    assert depth == 1000
    assert 300 < layer < 600
    assert f"overflow in layer {layer} of the network of depth 1000" in str(found)


def test_refusals():
    with pytest.raises(InvalidArgument, match="x must be at least two different places"):
        theory.classify(made(0, 1), (10,))
    with pytest.raises(InvalidArgument, match="change must be measured on at least two"):
        theory.classify(made(0, 1, shape=(1,)), (10, 20))
    with pytest.raises(InvalidArgument, match="margin must be positive"):
        theory.classify(made(0, 1), (10, 20), margin=0.0)
    with pytest.raises(InvalidArgument, match="depths must be at least 1; got 0"):
        theory.classify(made(0, 1), (0, 20))
