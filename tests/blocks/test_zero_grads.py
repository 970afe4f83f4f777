import torch
from torch import nn

from stochastic_depth.blocks import with_zero_grads


def test_parameters_get_zeros_and_the_stream_its_gradient():
    layer, x = nn.Linear(2, 2), torch.ones(3, 2, requires_grad=True)
    with_zero_grads(x, layer.parameters()).mul(2).sum().backward()
    assert torch.equal(x.grad, torch.full((3, 2), 2.0))
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in layer.parameters())


def test_a_stream_without_gradient_still_reaches_the_parameters():
    layer = nn.Linear(2, 2)
    with_zero_grads(torch.ones(3, 2), layer.parameters()).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_frozen_parameters_stay_without_gradient():
    layer = nn.Linear(2, 2).requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)
    assert with_zero_grads(x, layer.parameters()) is x


def test_nothing_is_recorded_without_gradients():
    x = torch.ones(1, 2)
    with torch.no_grad():
        assert with_zero_grads(x, nn.Linear(2, 2).parameters()) is x


def test_zeros_are_added_to_gradients_that_are_there():
    layer = nn.Linear(2, 2)
    layer.weight.grad = torch.ones(2, 2)
    with_zero_grads(torch.ones(1, 2), layer.parameters()).sum().backward()
    assert torch.equal(layer.weight.grad, torch.ones(2, 2))


def test_sgd_decays_and_coasts_as_in_the_original_code():
    # One live step, then a dropped one. v1 = g + wd w0, w1 = w0 - lr v1;
    # v2 = mu v1 + wd w1, w2 = w1 - lr v2: no gradient, but decay and momentum.
    lr, mu, wd, w0 = 0.1, 0.9, 0.01, 2.0
    w = nn.Parameter(torch.tensor(w0, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=lr, momentum=mu, weight_decay=wd)
    (3 * w).backward()
    optimizer.step()
    optimizer.zero_grad()
    with_zero_grads(torch.zeros(1, dtype=torch.float64, requires_grad=True), [w]).sum().backward()
    optimizer.step()
    v1 = 3 + wd * w0
    w1 = w0 - lr * v1
    assert float(w.detach()) == w1 - lr * (mu * v1 + wd * w1)
