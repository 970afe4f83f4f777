"""Regularity over depth, on weights whose regularity is known."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import weights


def sample(process, depth=1000, shape=(20, 20), seed=0):
    return process.sample(depth, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("hurst", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_hurst_exponent_of_fractional_noise(hurst):
    # The estimator has no bias on such noise but that of a logarithm of a mean of 400
    # entries, below 0.003; its own standard error says the rest (5 of them).
    found = theory.hurst_exponent(sample(weights.fractional(hurst)))
    assert abs(found.value - hurst) < 5 * found.standard_error + 0.003
    assert found.standard_error < 0.01


def test_hurst_exponent_of_one_matrix_in_every_layer():
    assert theory.hurst_exponent(torch.ones(64, 3)).value == pytest.approx(1.0)


def test_standard_error_is_the_spread_over_draws():
    found = [theory.hurst_exponent(sample(weights.gaussian(), 200, seed=s)) for s in range(40)]
    spread = float(torch.tensor([slope.value for slope in found]).std())
    said = sum(slope.standard_error for slope in found) / len(found)
    # 40 draws know a standard deviation to 11 %: a factor of 1.6 is four of these.
    assert 1 / 1.6 < said / spread < 1.6


PATHS = {
    "noise": (sample(weights.gaussian()), 0.0),
    "random walk": (sample(weights.gaussian()).cumsum(0), 0.5),
    "sum of fractional noise": (sample(weights.fractional(0.8)).cumsum(0), 0.8),
    "smooth": (sample(weights.smooth(0.8)), 1.0),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS.keys())
def test_hoelder_exponent(path, expected):
    assert theory.holder_exponent(path).value == pytest.approx(expected, abs=0.03)


def test_total_variation():
    # Independent layers: each step has length sqrt(2) of a layer's, up to 1/entries.
    independent = theory.total_variation(sample(weights.gaussian(), 500))
    assert independent == pytest.approx(math.sqrt(2) * 499, rel=0.01)
    # Smooth ones: |w'| integrates to about 1/length_scale whatever the depth.
    for depth in (200, 800):
        smooth = theory.total_variation(sample(weights.smooth(0.1), depth))
        assert smooth == pytest.approx(10, rel=0.1)
    assert theory.total_variation(torch.ones(5, 2)) == 0


def test_refusals():
    with pytest.raises(InvalidArgument, match=r"weights must be of at least 16 layers"):
        theory.hurst_exponent(torch.ones(15, 4))
    with pytest.raises(InvalidArgument, match="at least 2 entries per layer; got 1"):
        theory.hurst_exponent(torch.ones(16))
    with pytest.raises(InvalidArgument, match="weights must be finite; got NaN or infinity"):
        theory.holder_exponent(torch.full((16, 2), math.nan))
    with pytest.raises(InvalidArgument, match="different in some layers; got the same everywhere"):
        theory.holder_exponent(torch.ones(16, 2))
    with pytest.raises(InvalidArgument, match="at least 2 layers"):
        theory.total_variation(torch.ones(1, 2))
    with pytest.raises(InvalidArgument, match="not all zero; got zeros"):
        theory.total_variation(torch.zeros(3, 2))
