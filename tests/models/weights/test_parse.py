"""Processes by their written form."""

import pytest

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import ScaledResNet, weights


@pytest.mark.parametrize(
    ("text", "process"),
    [
        ("gaussian", weights.gaussian()),
        ("uniform()", weights.uniform()),
        ("brownian", weights.brownian()),
        ("smooth", weights.smooth(0.1)),
        ("smooth(0.25)", weights.smooth(0.25)),
        ("fractional(0.7)", weights.fractional(0.7)),
        (" fractional ( hurst = 7e-1 ) ", weights.fractional(0.7)),
    ],
)
def test_what_is_written_is_what_is_made(text, process):
    assert weights.parse(text) == process
    assert weights.parse(str(process)) == process


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fractal(0.7)", "Did you mean 'fractional'"),
        ("fractional", "init must be written as"),
        ("gaussian(0.3)", "init must be written as"),
        ("smooth(wide)", "init must be written as"),
        ("smooth(0.1", "init must be one of gaussian, uniform"),
        ("fractional(1.5)", r"hurst must be strictly between 0 and 1; got 1.5"),
        ("smooth(-1)", "length_scale must be positive"),
    ],
)
def test_what_cannot_be_made_is_refused(text, message):
    with pytest.raises(InvalidArgument, match=message):
        weights.parse(text)
    with pytest.raises(InvalidArgument, match=message):
        ScaledResNet(3, 2, 2, 2, init=text)
