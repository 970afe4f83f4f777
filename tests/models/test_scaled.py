"""One trainable scaled network."""

import pytest
import torch

import stochastic_depth as sd
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import ScaledResNet, weights


def network(**changes):
    torch.manual_seed(0)
    return ScaledResNet(**{"depth": 7, "width": 6, "inputs": 12, "outputs": 3, **changes})


@pytest.mark.parametrize("branch", ["res-1", "res-3"])
@pytest.mark.parametrize("beta", [0.5, 1.3, lambda depth: 2 / depth])
def test_it_is_one_of_many(branch, beta):
    model = network(branch=branch, beta=beta).double()
    x = torch.randn(4, 3, 4, dtype=torch.float64)
    gates = torch.tensor([1.0, 0, 1, 0.5, 1, 0, 1], dtype=torch.float64)
    scale = sd.models.depth_scale(beta, 7)
    layers = model.layer_weights()[:, :, None]
    *_, last = sd.models.scaled_states(model.encoder(x.flatten(1))[None], layers, scale, gates)
    torch.testing.assert_close(model(x, gates), model.decoder(last[0]))


def test_the_weights_are_the_process_over_the_root_of_the_width():
    torch.manual_seed(0)
    layers = ScaledResNet(50, 60, 4, 2, init=weights.brownian()).layer_weights()
    assert layers.shape == (50, 2, 60, 60)
    # n = 7200 independent entries per layer: relative standard error of a variance 1.7 %.
    variance = layers.square().mean((1, 2, 3)) * 60
    assert (variance - 1).abs().max() < 0.09


def test_neighbouring_layers_follow_the_process():
    torch.manual_seed(1)
    layers = ScaledResNet(50, 60, 4, 2, init=weights.fractional(0.9)).layer_weights()
    # 49 * 7200 dependent products; exact 0.741, spread over seeds below 0.01.
    correlation = float((layers[1:] * layers[:-1]).mean()) * 60
    assert correlation == pytest.approx(0.741, abs=0.04)


def test_per_sample_gates_are_per_sample():
    model = network().double()
    x = torch.randn(2, 12, dtype=torch.float64)
    gates = torch.tensor([[1.0, 0]] * 7, dtype=torch.float64)
    both = model(x, gates)
    torch.testing.assert_close(both[0], model(x[:1])[0])
    torch.testing.assert_close(both[1], model.decoder(model.encoder(x[1])))


def test_biases_start_at_zero_and_train():
    model = network(bias=True)
    torch.manual_seed(0)
    plain = network()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "bias" not in k})
    x = torch.randn(5, 12)
    torch.testing.assert_close(model(x), plain(x))
    model(x).square().sum().backward()
    assert model.blocks[0].branch.outer.bias.grad.abs().max() > 0


@pytest.mark.parametrize("field", ["depth", "width", "inputs", "outputs"])
def test_sizes_are_checked(field):
    with pytest.raises(InvalidArgument, match=f"{field} must be at least 1; got 0"):
        network(**{field: 0})


def test_beta_and_branch_are_checked():
    with pytest.raises(InvalidArgument, match="beta must be finite; got nan"):
        network(beta=float("nan"))
    with pytest.raises(InvalidArgument, match="Did you mean 'res-3'"):
        network(branch="res3")


def test_another_activation():
    model = network(depth=1, branch="res-1", beta=0.0, activation=torch.tanh)
    h = model.encoder(torch.ones(2, 12))
    expected = h + torch.tanh(h) @ model.layer_weights()[0, 0].T
    torch.testing.assert_close(model(torch.ones(2, 12)), model.decoder(expected))
