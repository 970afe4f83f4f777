"""Change along a network, where it overflows, and what it tells of families of networks."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import depth_scale, scaled_states, weights


def test_it_is_the_ratio_of_norms():
    states = torch.randn(5, 3, 2, 7, dtype=torch.float64, generator=torch.Generator())
    change = theory.relative_change(states)
    expected = (states[-1] - states[0]).norm(dim=-1) / states[0].norm(dim=-1)
    torch.testing.assert_close(change.ratio, expected)
    assert (change.overflow == 0).all()


def test_large_float32_states_are_measured_in_float64():
    start = torch.ones(2, 3)
    change = theory.relative_change([start, start * 1e30])
    torch.testing.assert_close(change.log10, torch.full((2,), 30.0, dtype=torch.float64))


def test_no_change_is_minus_infinity():
    start = torch.ones(2, 3)
    assert (theory.relative_change([start, start]).log10 == -math.inf).all()
    assert (theory.relative_change([start]).ratio == 0).all()


def test_overflow_is_infinite_and_knows_its_layer():
    start = torch.ones(3, 2)
    states = [start.clone() for _ in range(5)]
    states[2][0, 1] = math.inf
    states[3][0] = math.nan  # infinity minus infinity, further on
    states[4][0] = math.nan
    states[4][1] = -math.inf
    states[4][2] = 3.0
    change = theory.relative_change(states)
    assert change.overflow.tolist() == [2, 4, 0]
    assert change.log10[:2].tolist() == [math.inf, math.inf]
    assert change.log10[2] == pytest.approx(math.log10(2))


def test_an_exploding_network_is_reported_and_never_nan():
    layers = weights.draw(weights.gaussian(), 600, 20, networks=4)
    change = theory.relative_change(scaled_states(torch.ones(4, 1, 20), layers, scale=1.0))
    assert not change.log10.isnan().any()
    assert (change.log10 == math.inf).all()
    # Norms double their square every 1/log2(1.5) = 1.7 layers: 1e38 is reached near 430.
    assert ((change.overflow > 300) & (change.overflow < 600)).all()


@pytest.mark.parametrize("bad", [torch.zeros(1, 3), torch.full((1, 3), math.nan)])
def test_the_start_is_checked(bad):
    with pytest.raises(InvalidArgument, match="h_0 must be finite and not zero"):
        theory.relative_change([bad, bad])


def test_there_must_be_a_start():
    with pytest.raises(InvalidArgument, match="states must be at least h_0; got none"):
        theory.relative_change([])


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
