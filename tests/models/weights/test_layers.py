"""Weights of many networks, held and streamed."""

import pytest
import torch

from stochastic_depth._errors import InvalidArgument, Unsupported
from stochastic_depth.gates import stream
from stochastic_depth.models import weights


def test_weights_have_variance_one_over_width():
    held = weights.draw(weights.uniform(), depth=50, width=20, networks=8, matrices=1, seed=4)
    assert held.shape == (50, 1, 8, 20, 20)
    # n = 160,000 uniform values: relative standard error of the variance 0.22 %.
    assert abs(float(held.square().mean()) * 20 - 1) < 0.01


def test_a_streamed_layer_is_the_same_every_time_and_differs_from_the_next():
    layers = weights.Streamed(weights.gaussian(), depth=5, width=3, networks=2, seed=1)
    assert layers[2].shape == (2, 2, 3, 3)
    assert torch.equal(layers[2], layers[2])
    assert torch.equal(layers[-1], layers[4])
    assert not torch.equal(layers[2], layers[3])
    assert torch.equal(torch.stack(list(layers)), torch.stack(list(layers[:])))


def test_streamed_weights_have_variance_one_over_width():
    layers = weights.Streamed(weights.gaussian(), depth=3, width=50, networks=20)
    # n = 300,000: relative standard error of the variance 0.26 %.
    assert abs(float(torch.stack(list(layers)).square().mean()) * 50 - 1) < 0.012


def test_streams_end():
    layers = weights.Streamed(weights.gaussian(), depth=5, width=3)
    with pytest.raises(IndexError, match="layer 5 of a network of depth 5"):
        layers[5]


def test_processes_with_memory_cannot_be_streamed():
    with pytest.raises(Unsupported, match=r"fractional\(hurst=0.7\) depend on each other"):
        weights.Streamed(weights.fractional(0.7), depth=5, width=3)


@pytest.mark.parametrize("field", ["depth", "width", "networks", "matrices"])
def test_sizes_are_checked(field):
    sizes = {"depth": 2, "width": 2, "networks": 2, "matrices": 2, field: 0}
    with pytest.raises(InvalidArgument, match="must be at least 1; got 0"):
        weights.draw(weights.gaussian(), **sizes)
    with pytest.raises(InvalidArgument, match=f"{field} must be at least 1; got 0"):
        weights.Streamed(weights.gaussian(), **sizes)


def test_weights_have_nothing_in_common_with_the_gates_of_the_same_seed():
    # 4000 uniform numbers each; 5 standard errors of a correlation, false-alarm rate 6e-7.
    values = weights.draw(weights.uniform(), depth=1, width=20, networks=5, matrices=2).flatten()
    layer = weights.Streamed(weights.uniform(), depth=2, width=20, networks=5)[0].flatten()
    gates = torch.rand(4000, generator=stream(0, 0))
    for drawn in (values, layer):
        pair = torch.stack([drawn.double(), gates.double()])
        assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 / 4000**0.5


@pytest.mark.parametrize(
    "process", ["gaussian", "uniform", "smooth(0.1)", "fractional(0.7)", "brownian"]
)
def test_weights_are_the_same_under_another_default_device(process):
    def numbers():
        made = weights.parse(process)
        return [weights.draw(made, depth=5, width=2, networks=3), made.covariance(5)]

    expected = numbers()
    with torch.device("meta"):
        found = numbers()
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
