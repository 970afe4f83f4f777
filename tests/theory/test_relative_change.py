"""Change along a network, and where it overflows."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import scaled_states, weights


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
