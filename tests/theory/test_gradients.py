import math

import pytest
import torch

import stochastic_depth as sd
from tests.theory.networks import batch, relu, square, targets


def states_of(f):
    return sd.theory.hidden_states(f, [f.encoder, *f.blocks])


def test_hidden_states_satisfy_the_recursion():
    f, x, gates = relu(), batch(), torch.tensor([1.0, 0.0, 0.5, 1.0, 1.0, 0.0]).double()
    *hidden, output = states_of(f)(x, gates)
    assert len(hidden) == 7
    for block, gate, before, after in zip(f.blocks, gates, hidden, hidden[1:], strict=False):
        torch.testing.assert_close(after, before + block.scale * gate * block.branch(before))
    torch.testing.assert_close(output, f(x, gates))
    assert not any(module._forward_hooks for module in f.modules())


def test_layers_must_run_once():
    f = relu()
    states = sd.theory.hidden_states(f, [f.encoder, torch.nn.Linear(2, 2)])
    with pytest.raises(sd.InvalidArgument, match="2 layers ran 1 times"):
        states(batch(), torch.ones(6))
    assert not f.encoder._forward_hooks


@pytest.mark.parametrize("per_sample", [False, True])
def test_gradient_norms_of_samples_one_by_one(per_sample):
    f, x, y = relu(), batch(), targets(outputs=3)["square"]
    shape = (6, 7) if per_sample else (6,)
    gates = torch.rand(shape, generator=torch.Generator().manual_seed(0)).round()
    norms = sd.theory.gradient_norms(states_of(f), x, y, square, gates)
    assert norms.shape == (7, 7)
    for sample in range(7):
        own = gates[:, sample] if per_sample else gates
        *hidden, output = states_of(f)(x[[sample]], own)
        gradients = torch.autograd.grad(square(output, y[[sample]]) / 7, hidden)
        expected = torch.stack([gradient.norm() ** 2 for gradient in gradients])
        torch.testing.assert_close(norms[:, sample], expected)


def test_loss_gradient_is_a_network_of_its_own():
    f, x, y = relu(), batch(), targets(outputs=3)["square"]
    gradient = sd.theory.loss_gradient(f, y, square)
    ones = torch.ones(6).double()
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(square(f(leaf, ones), y) * 7, leaf)
    torch.testing.assert_close(gradient(x, ones), expected)
    # Derivative of the gradient in the gates, against finite differences.
    zeta = sd.theory.discrepancies(gradient, x, ones)
    step = 1e-6 * torch.eye(6).double()
    differences = torch.stack([gradient(x, ones + s) - gradient(x, ones - s) for s in step]) / 2e-6
    torch.testing.assert_close(zeta, differences, rtol=1e-6, atol=1e-8)


DEPTH = 8
P = torch.linspace(0.9, 0.3, DEPTH, dtype=torch.float64)

LAWS = {
    "none": sd.gates.Deterministic([1.0] * DEPTH),
    "test": sd.gates.Bernoulli(P, rescale="test"),
    "train": sd.gates.Bernoulli(P, rescale="train"),
}
FACTORS = {"none": torch.ones(DEPTH).double(), "test": P, "train": 1 / P}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scale", [1.0, 1 / math.sqrt(DEPTH)])
def test_prediction_is_the_product_of_proposition_one(law, scale):
    found = sd.theory.predicted_growth(LAWS[law], scale).exp()
    expected = [(1 + scale**2 * FACTORS[law][k:]).prod() for k in range(DEPTH + 1)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_six_orders_of_magnitude():
    """The paper, section 3: L = 50 and p = 1/2 against no stochastic depth."""
    full = sd.theory.predicted_growth(sd.gates.Deterministic([1.0] * 50))[0]
    half = sd.theory.predicted_growth(sd.gates.Bernoulli([0.5] * 50, rescale="test"))[0]
    assert float((full - half).exp()) == pytest.approx(1.77e6, rel=0.01)


def measure(law, scale, draws=100, width=128, samples=8):
    columns = []
    for draw in range(draws):
        torch.manual_seed(draw)
        f = sd.models.VanillaResNet(DEPTH, width, 4, 1)
        for block in f.blocks:
            block.scale = scale
        generator = sd.gates.stream(7, draw)
        gates = law.sample(samples, generator=generator)
        x = torch.randn(samples, 4, generator=generator)
        states = sd.theory.hidden_states(f, [f.encoder, *f.blocks])
        loss = lambda outputs, y: outputs.sum()  # noqa: E731
        columns.append(sd.theory.gradient_norms(states, x, x, loss, gates))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("scale", [1.0, 1 / math.sqrt(DEPTH)])
def test_measured_growth_is_the_predicted(law, scale):
    """100 networks of width 128 with 8 masks each; mean growth over all layers within five
    standard errors plus 5 % for the finite width (false alarm below 1e-5)."""
    found = sd.theory.measured_growth(measure(LAWS[law], scale))
    predicted = sd.theory.predicted_growth(LAWS[law], scale)
    assert ((found.log - predicted).abs() <= 5 * found.standard_error + 0.05).all()
    assert float(found.standard_error[0]) < 0.15


def test_measured_growth_is_a_mean_over_draws():
    generator = torch.Generator().manual_seed(0)
    norms = torch.rand(3, 40, 5, generator=generator) + 0.1
    ratios = (norms / norms[-1]).double()
    found = sd.theory.measured_growth(norms)
    torch.testing.assert_close(found.log, ratios.mean((1, 2)).log(), rtol=1e-6, atol=1e-7)
    error = ratios.mean(2).std(1) / math.sqrt(40) / ratios.mean((1, 2))
    torch.testing.assert_close(found.standard_error, error, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.mean_log, ratios.log().mean((1, 2)), rtol=1e-5, atol=1e-7)
    single = sd.theory.measured_growth(norms[:, :, :1])
    torch.testing.assert_close(single.log, sd.theory.measured_growth(norms[:, :, 0]).log)


def test_growth_beyond_the_range_of_floats():
    norms = torch.tensor([[1e300, 1e200], [1e-200, 1e-300]], dtype=torch.float64)
    assert float(sd.theory.measured_growth(norms).log[0]) == pytest.approx(500 * math.log(10))
    assert not sd.theory.measured_growth(norms).standard_error.isnan().any()


def test_rate_is_the_geometric_mean_of_what_remains():
    law = sd.gates.Bernoulli(P, rescale="test")
    rates = sd.theory.growth_rate(sd.theory.predicted_growth(law))
    for layer in range(DEPTH):
        expected = (1 + P[layer:]).prod() ** (1 / (DEPTH - layer))
        assert float(rates[layer]) == pytest.approx(float(expected))


def test_refusals():
    with pytest.raises(sd.InvalidArgument, match="2 draws or more"):
        sd.theory.measured_growth(torch.ones(3, 1))
    with pytest.raises(sd.InvalidArgument, match="2 draws or more"):
        sd.theory.measured_growth(torch.ones(3))
    with pytest.raises(sd.InvalidArgument, match="the gradient at the end"):
        sd.theory.measured_growth(torch.zeros(3, 4))
    with pytest.raises(sd.InvalidArgument, match="scale must be positive"):
        sd.theory.predicted_growth(LAWS["test"], scale=0.0)
    assert relu().blocks[0].scale == pytest.approx(6**-0.5)
