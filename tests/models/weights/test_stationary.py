"""Fractional noise and smooth processes against their formulas."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth._errors import InvalidArgument, Unsupported
from stochastic_depth.models import weights
from stochastic_depth.models.weights._circulant import fill_stationary

HURST = [0.1, 0.3, 0.5, 0.7, 0.9, 0.97]


def exact_autocovariance(hurst: float, lag: int) -> float:
    with mpmath.workdps(60):
        h2 = 2 * mpmath.mpf(hurst)
        k = mpmath.mpf(lag)
        return float(((k + 1) ** h2 - 2 * k**h2 + abs(k - 1) ** h2) / 2)


@pytest.mark.parametrize("hurst", HURST)
def test_formula_keeps_its_digits_at_large_lags(hurst):
    lags = [0, 1, 2, 5, 99, 100, 101, 150, 1000, 10**4, 10**6]
    got = weights.fractional(hurst).autocovariance(torch.tensor(lags), depth=1)
    exact = torch.tensor([exact_autocovariance(hurst, k) for k in lags], dtype=torch.float64)
    torch.testing.assert_close(got, exact, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("hurst", HURST)
def test_autocovariance_of_the_noise_at_lags_0_to_10(hurst):
    # 20,000 paths of 1000: the estimate at lag k averages over paths the mean over
    # positions, so its standard error is measured from independent paths. 11 lags, 6
    # exponents, 4.5 standard errors: a false alarm in one of 2,200 seeds.
    depth, paths = 1000, 20_000
    noise = weights.fractional(hurst).sample(
        depth, (paths,), generator=torch.Generator().manual_seed(11)
    )
    for lag in range(11):
        products = (noise[: depth - lag] * noise[lag:]).mean(0).double()
        error = float(products.mean()) - exact_autocovariance(hurst, lag)
        assert abs(error) < 4.5 * float(products.std()) / math.sqrt(paths)


@pytest.mark.parametrize("hurst", HURST)
def test_sum_over_depth_has_standard_deviation_depth_to_the_hurst(hurst):
    # n = 20,000 sums: relative standard error of the variance 1 %; 4.5 of them.
    noise = weights.fractional(hurst).sample(
        1000, (20_000,), generator=torch.Generator().manual_seed(12)
    )
    ratio = float(noise.double().sum(0).square().mean()) / 1000 ** (2 * hurst)
    assert abs(ratio - 1) < 4.5 * math.sqrt(2 / 20_000)


@given(st.floats(0.001, 0.999), st.integers(1, 3000))
def test_the_embedding_exists_for_every_exponent(hurst, depth):
    values = weights.fractional(hurst).sample(depth, generator=torch.Generator())
    assert values.isfinite().all()


@given(st.floats(1e-3, 5.0), st.integers(1, 200))
def test_the_embedding_exists_for_every_length_scale(length_scale, depth):
    values = weights.smooth(length_scale).sample(depth, generator=torch.Generator())
    assert values.isfinite().all()


def test_smooth_values_are_smooth():
    # w'(t) has variance 1/length_scale^2: over a step of 1/1000, at length scale 0.1, the
    # difference has standard deviation 0.01.
    w = weights.smooth(0.1).sample(1000, (5000,), generator=torch.Generator().manual_seed(1))
    assert abs(float(w.double().diff(dim=0).std()) - 0.01) < 2e-4


def test_a_covariance_without_embedding_is_refused():
    with pytest.raises(Unsupported, match="no circulant embedding of period 4"):
        fill_stationary(torch.empty(2, 1), torch.tensor([1.0, 0.9, 0.0]).double(), None)


@pytest.mark.parametrize("hurst", [0.0, 1.0, -0.2, 1.7, float("inf"), float("nan")])
def test_hurst_outside_its_range(hurst):
    with pytest.raises(InvalidArgument, match="hurst must be"):
        weights.fractional(hurst)


@pytest.mark.parametrize("length_scale", [0.0, -1.0, float("inf")])
def test_length_scale_outside_its_range(length_scale):
    with pytest.raises(InvalidArgument, match="length_scale must be positive and finite"):
        weights.smooth(length_scale)
