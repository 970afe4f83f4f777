"""One network trained on images."""

from dataclasses import replace

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth.papers.marion2022._trained import Protocol, _config, pixels, trained

PROTOCOL = Protocol(pixels("digits", 60), depth=16, width=6, epochs=1, batch_size=30)


@pytest.mark.parametrize("survival", [None, 0.5])
@pytest.mark.parametrize("init", ["smooth(0.3)", "fractional(0.8)", "uniform", "brownian"])
def test_weights_before_and_after(init, survival):
    network = trained(replace(PROTOCOL, survival=survival), init, beta=1.0, rate=1e-2, seed=3)
    assert network.before.shape == network.after.shape == (16, 6, 6)
    # Adam moves each weight by about the rate in each of its two steps.
    moved = (network.after - network.before).abs()
    assert 0 < moved.max() <= 0.025
    assert 0 <= network.accuracy <= 100
    assert torch.isfinite(torch.tensor(theory.total_variation(network.after)))


def test_initial_weights_depend_on_the_seed_and_not_on_the_kind_of_depth():
    first, again = (
        trained(replace(PROTOCOL, survival=p), "uniform", 1.0, 1e-3, seed=1).before
        for p in (None, 0.5)
    )
    other = trained(PROTOCOL, "uniform", 1.0, 1e-3, seed=2).before
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_divergence_has_no_weights_and_no_accuracy():
    network = trained(replace(PROTOCOL, epochs=3), "smooth(0.3)", beta=-2.0, rate=1e4, seed=0)
    assert network.after is None
    assert network.accuracy is None


def test_the_rate_falls_in_steps():
    rate = _config(replace(PROTOCOL, epochs=10), "uniform", 1.0, 0.1, 0).learning_rate
    rates = [rate.at(epoch, 1, 10) for epoch in range(10)]
    assert rates == pytest.approx([0.1] * 5 + [0.01] * 5)
    flat = replace(PROTOCOL, epochs=3, decay_every=1000)
    assert _config(flat, "uniform", 1.0, 0.1, 0).learning_rate.at(2, 1, 3) == 0.1


def test_a_seed_draws_the_images_too():
    first, second = (_config(PROTOCOL, "uniform", 1.0, 0.1, seed).data for seed in (0, 1))
    assert second == replace(first, split_seed=first.split_seed + 1)
