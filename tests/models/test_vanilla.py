import pytest
import torch
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.models import VanillaResNet


@pytest.mark.parametrize("stable", [True, False])
def test_the_network_is_its_equation(stable):
    model = VanillaResNet(5, 7, inputs=3, outputs=2, stable=stable).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    gates = torch.rand(5, 4, dtype=torch.float64)
    y = x @ model.encoder.weight.T
    for block, d in zip(model.blocks, gates, strict=True):
        weight = block.branch[1].weight
        y = y + d[:, None] * (torch.relu(y) @ weight.T) * (5**-0.5 if stable else 1)
    assert_close(model(x, gates), torch.relu(y) @ model.decoder.weight.T)


def test_moments_grow_as_the_theory_says():
    # E|y_L|^2 / E|y_0|^2 = (1 + a^2)^L with He weights: 2^8 and (1 + 1/8)^8. Width 128,
    # 200 networks. Their log ratios have a standard deviation below 0.4, so the mean of
    # the ratios is within 15 % (five standard errors) with a false-alarm rate of 6e-7.
    for stable, growth in [(False, 2.0), (True, 1 + 1 / 8)]:
        ratios = []
        for seed in range(200):
            torch.manual_seed(seed)
            model = VanillaResNet(8, 128, inputs=4, outputs=1, stable=stable)
            with torch.no_grad():
                y = first = model.encoder(torch.ones(1, 4))
                for block in model.blocks:
                    y = block(y)
            ratios.append(float(y.square().sum() / first.square().sum()))
        assert sum(ratios) / 200 == pytest.approx(growth**8, rel=0.15)


def test_initial_weights():
    model = VanillaResNet(3, 400, inputs=100, outputs=50)
    # Standard deviations of at least 20,000 normal weights: within 5 / sqrt(2 n) = 2.5 %.
    for weight, variance in [
        (model.encoder.weight, 1 / 100),
        (model.blocks[1].branch[1].weight, 2 / 400),
        (model.decoder.weight, 1 / 400),
    ]:
        assert float(weight.detach().std()) == pytest.approx(variance**0.5, rel=0.025)


@pytest.mark.parametrize("field", ["depth", "width", "inputs", "outputs"])
def test_arguments_are_counts(field):
    arguments = {"depth": 2, "width": 2, "inputs": 2, "outputs": 2}
    with pytest.raises(sd.InvalidArgument, match=f"{field} must be at least 1; got 0"):
        VanillaResNet(**{**arguments, field: 0})


@pytest.mark.parametrize("stable", [True, False])
def test_the_depth_is_a_count(stable):
    with pytest.raises(sd.InvalidArgument, match="depth must be at least 1; got 0"):
        VanillaResNet(0, 2, 2, 2, stable=stable)


@pytest.mark.parametrize("samples", [1, 3, 5])
def test_gates_per_sample_are_for_the_samples_of_the_batch(samples):
    model = VanillaResNet(2, 3, inputs=2, outputs=1)
    with pytest.raises(sd.InvalidArgument, match=rf"shape \(2, 4\).*got shape \(2, {samples}\)"):
        model(torch.randn(4, 2), torch.ones(2, samples))


def test_gates_are_one_per_block():
    model = VanillaResNet(2, 3, inputs=2, outputs=1)
    for length in (1, 3):
        with pytest.raises(sd.InvalidArgument, match=f"gates must be of length 2.*got {length}"):
            model(torch.randn(4, 2), torch.ones(length))


def test_gates_drawn_on_the_cpu_serve_a_network_elsewhere():
    with torch.device("meta"):
        model, x = VanillaResNet(2, 3, inputs=2, outputs=1), torch.empty(4, 2)
    for gates in (torch.ones(2), torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 2.0, 1.0, 1.0]])):
        assert model(x, gates).shape == (4, 1)
