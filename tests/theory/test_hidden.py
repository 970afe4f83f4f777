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
