"""The verdicts on architectures whose regime is known, and where each number comes from."""

import math

import pytest
import torch
from torch import nn

import stochastic_depth as sd
from stochastic_depth.surgery import depth_check
from stochastic_depth.theory import expected_change

X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def scaled(beta, **arguments):
    return lambda depth: sd.models.ScaledResNet(depth, 30, 8, 1, beta=beta, **arguments)


@pytest.mark.parametrize(
    ("factory", "verdict"),
    [
        (scaled(0.25), "explosion"),
        (scaled(0.5), "stable"),
        (scaled(1.0), "identity"),
        (scaled(1.0, init="smooth(0.2)"), "stable"),
        (scaled(0.5, init="fractional(0.9)"), "explosion"),
    ],
)
def test_the_regimes_of_scaled_networks(factory, verdict):
    check = depth_check(factory, [10, 30, 100], X, repetitions=8, margin=0.15)
    assert check.hidden.verdict == verdict
    assert check.gradients.verdict == verdict
    assert verdict in str(check)


def test_the_change_is_that_of_the_closed_form():
    # 40 networks of width 100: the mean squared change within 5 standard errors.
    factory = lambda depth: sd.models.ScaledResNet(depth, 100, 8, 1, beta=0.5)  # noqa: E731
    check = depth_check(factory, [4, 16], X[:1], repetitions=40)
    for change in check.measured[16]:
        squares = change.ratio[:, 0] ** 2
        error = float(squares.std()) / math.sqrt(40)
        assert abs(float(squares.mean()) - expected_change(0.25, 16)) < 5 * error


def test_an_overflow_is_an_explosion_with_its_depth_and_no_number_is_nan():
    check = depth_check(scaled(lambda depth: 10.0), [8, 100], X, repetitions=2)
    for verdict in (check.hidden, check.gradients):
        assert verdict.verdict == "explosion"
        assert verdict.overflow is not None
        assert verdict.overflow[0] == 100
        assert 8 < verdict.overflow[1] < 100
        assert "explosion: overflow in layer" in str(verdict)
    for changes in check.measured.values():
        assert not any(change.log10.isnan().any() for change in changes)


class Stages(nn.Module):
    """Two stages of equal shape, the second of which scales its state by `factor`."""

    def __init__(self, factor):
        super().__init__()
        keep = sd.blocks.Residual(nn.Linear(8, 8), scale=0.0)
        wider = sd.blocks.Residual(nn.Linear(8, 16), shortcut=nn.Linear(8, 16))
        multiply = sd.blocks.Residual(nn.Identity(), scale=factor - 1)
        self.blocks = nn.ModuleList([keep, wider, multiply])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_the_largest_change_of_the_stages_counts():
    check = depth_check(lambda depth: Stages(1 + 2.0 * depth), [1, 10], X, repetitions=2)
    for depth in (1, 10):
        for change in check.measured[depth]:
            assert change.ratio == pytest.approx(torch.full((2, 2), 2.0 * depth), rel=1e-5)


def test_branches_that_contribute_nothing_are_the_identity():
    check = depth_check(lambda depth: Stages(1.0), [1, 10], X, repetitions=2)
    assert str(check.hidden) == "identity: the branches contribute nothing"


def test_the_global_generator_and_the_input_stay_as_they_are():
    x, numbers = X.clone(), torch.get_rng_state()
    depth_check(scaled(0.5), [4, 8], x, repetitions=2)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not x.requires_grad


class Widening(nn.Module):
    """No block keeps its width."""

    def __init__(self, depth):
        super().__init__()
        self.blocks = nn.ModuleList(
            sd.blocks.Residual(nn.Linear(n, n + 1), shortcut=nn.Linear(n, n + 1, bias=False))
            for n in range(8, 8 + depth)
        )

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"depths": [4]}, sd.InvalidArgument, "depths must be at least two different ones"),
        ({"depths": [0, 4]}, sd.InvalidArgument, "depths must be at least 1; got 0"),
        ({"repetitions": 1}, sd.InvalidArgument, "repetitions must be at least 2; got 1"),
        ({"margin": 0.0}, sd.InvalidArgument, "margin must be positive"),
        ({"factory": Widening}, sd.Unsupported, "a block that keeps the shape of its input"),
        ({"factory": lambda depth: 3}, sd.InvalidArgument, "must be a torch module; got int"),
        ({"factory": nn.Linear}, sd.InvalidArgument, "an error: Linear.__init__.. missing 1"),
        ({"factory": lambda d: nn.Linear(8, 8)}, sd.Unsupported, "must have residual blocks"),
        ({"factory": scaled(math.inf)}, sd.InvalidArgument, "beta must be finite; got inf"),
        (
            {"factory": scaled(0.5, init="fractional(1.2)")},
            sd.InvalidArgument,
            "hurst must be strictly",
        ),
    ],
)
def test_refusals(arguments, error, message):
    asked = {"factory": scaled(0.5), "depths": [4, 8], "x": X, "repetitions": 2} | arguments
    with pytest.raises(error, match=message):
        depth_check(**asked)
