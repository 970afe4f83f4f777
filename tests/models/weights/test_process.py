"""Laws every weight process obeys, against its own exact covariance."""

import math

import pytest
import torch

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import weights

PROCESSES = {
    "gaussian": weights.gaussian(),
    "uniform": weights.uniform(),
    "brownian": weights.brownian(),
    "smooth": weights.smooth(0.1),
    "smooth-long": weights.smooth(0.7),
    "fractional-0.1": weights.fractional(0.1),
    "fractional-0.8": weights.fractional(0.8),
    "fractional-0.97": weights.fractional(0.97),
}


@pytest.fixture(params=PROCESSES.values(), ids=PROCESSES.keys())
def process(request):
    return request.param


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sampled_covariance_is_the_exact_one(process):
    # 12 layers, n = 40,000 entries: each entry of the sample covariance has standard
    # error sqrt((1 + c^2)/n) (Gaussian; smaller for uniform values). 78 entries, 8
    # processes: 5 standard errors give a false alarm once in about 3,000 seeds.
    depth, entries = 12, 40_000
    values = process.sample(depth, (entries,), generator=generator(), dtype=torch.float64)
    exact = process.covariance(depth)
    error = ((values @ values.T / entries - exact) / ((1 + exact**2) / entries).sqrt()).abs()
    assert error.max() < 5


def test_every_layer_has_variance_one_and_entries_are_independent(process):
    values = process.sample(400, (50, 60), generator=generator(1), dtype=torch.float64)
    flat = values.view(400, -1)
    # n = 3000 entries per layer, 400 layers: variance has relative standard error
    # sqrt(2/3000) = 0.026; 5.5 of them, two-sided over 8 * 400 layers: 1e-4.
    assert (flat.square().mean(1) - 1).abs().max() < 5.5 * math.sqrt(2 / 3000)
    # Neighbouring entries: the mean over 2999 pairs of their product in one layer.
    assert abs(float((flat[200, 1:] * flat[200, :-1]).mean())) < 5 / math.sqrt(2999)


def test_exact_covariance_has_unit_diagonal_and_is_positive(process):
    covariance = process.covariance(30)
    torch.testing.assert_close(covariance.diagonal(), torch.ones(30, dtype=torch.float64))
    assert torch.linalg.eigvalsh(covariance).min() > -1e-10


def test_the_generator_decides(process):
    first = process.sample(7, (3, 2), generator=generator(5))
    again = process.sample(7, (3, 2), generator=generator(5))
    other = process.sample(7, (3, 2), generator=generator(6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    unnamed = process.sample(7, (3, 2))
    torch.manual_seed(3)
    assert torch.equal(unnamed, process.sample(7, (3, 2)))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shallow_networks_are_served(process, depth):
    assert process.sample(depth, (2,), generator=generator()).shape == (depth, 2)


def test_sizes_are_checked(process):
    with pytest.raises(InvalidArgument, match="depth must be at least 1; got 0"):
        process.sample(0)
    with pytest.raises(InvalidArgument, match="shape must be at least 1; got 0"):
        process.sample(3, (2, 0))
    with pytest.raises(InvalidArgument, match="depth must be at least 1"):
        process.covariance(0)


def test_processes_print_as_they_are_written(process):
    assert eval(f"weights.{process}") == process  # noqa: S307
