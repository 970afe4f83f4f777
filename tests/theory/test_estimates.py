"""The line through measured points, against scipy and its own coverage."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument


def test_the_slope_is_that_of_scipy():
    x, y = [1.0, 2.0, 4.0, 7.0], [0.3, -0.2, 1.9, 2.2]
    assert theory.fit_slope(x, y, [0.0] * 4).value == pytest.approx(stats.linregress(x, y).slope)


def test_the_interval_covers():
    # 4000 lines with known errors: coverage 95 % has standard error 0.34 %; 4 of them.
    x, errors = np.array([0.0, 1.0, 3.0, 4.0]), np.array([0.1, 0.5, 0.2, 0.3])
    noise = np.random.default_rng(0).normal(size=(4000, 4)) * errors
    slopes = [theory.fit_slope(x, 1 - 0.7 * x + row, errors) for row in noise]
    covered = np.mean([slope.low <= -0.7 <= slope.high for slope in slopes])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_refusals():
    with pytest.raises(InvalidArgument, match="x must be at least two different places"):
        theory.fit_slope([1.0, 1.0], [0.0, 1.0], [0.1, 0.1])
    with pytest.raises(InvalidArgument, match=r"y\[1\] must be finite"):
        theory.fit_slope([1.0, 2.0], [0.0, math.nan], [0.1, 0.1])
    with pytest.raises(InvalidArgument, match="errors must be a vector of 2 entries"):
        theory.fit_slope([1.0, 2.0], [0.0, 1.0], torch.ones(3))
