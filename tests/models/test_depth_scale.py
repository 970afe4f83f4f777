"""The factor of the branches."""

import pytest

import stochastic_depth as sd
from stochastic_depth._errors import InvalidArgument


@pytest.mark.parametrize(("beta", "scale"), [(0, 1.0), (0.25, 0.1), (1, 1e-4), (-0.25, 10.0)])
def test_powers_of_depth(beta, scale):
    assert sd.models.depth_scale(beta, 10_000) == pytest.approx(scale, rel=1e-14)


def test_a_callable_gives_the_factor_itself():
    assert sd.models.depth_scale(lambda depth: 3 / depth, 10) == 0.3


@pytest.mark.parametrize("beta", [float("nan"), float("inf"), -float("inf")])
def test_beta_must_be_finite(beta):
    with pytest.raises(InvalidArgument, match=r"beta must be finite; got .* scaled by L\^-beta"):
        sd.models.depth_scale(beta, 10)
    with pytest.raises(InvalidArgument, match=r"beta\(10\) must be finite"):
        sd.models.depth_scale(lambda depth: beta, 10)


def test_depth_must_be_positive():
    with pytest.raises(InvalidArgument, match="depth must be at least 1; got 0"):
        sd.models.depth_scale(0.5, 0)
