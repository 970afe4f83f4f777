from functools import partial

import pytest
import torch
from torch import nn
from torch.func import grad, jvp, vmap
from torch.testing import assert_close

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


def dropped(x, w, b, alias=False):
    return with_zero_grads(x.sin(), [w, b], alias=alias)


def inputs():
    return [
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in [(3, 2), (2,), ()]
    ]


def test_the_gradient_as_a_function():
    x, w, b = inputs()
    grads = grad(lambda *a: dropped(*a).pow(2).sum(), argnums=(0, 1, 2))(x, w, b)
    (expected,) = torch.autograd.grad(x.sin().pow(2).sum(), x)
    assert_close(grads, (expected, torch.zeros_like(w), torch.zeros_like(b)))
    # Of a network, through its parameters.
    layer = nn.Linear(2, 2).double()
    parameters = dict(layer.named_parameters())

    def loss(parameters):
        return with_zero_grads(x, parameters.values()).sum()

    assert all(torch.equal(g, torch.zeros_like(g)) for g in grad(loss)(parameters).values())


# Forward mode makes torch script its decompositions.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("alias", [False, True])
def test_forward_mode_and_second_derivatives(alias):
    leave = partial(dropped, alias=alias)
    x, w, b = inputs()
    tangents = tuple(torch.randn_like(v) for v in (x, w, b))
    out, tangent = jvp(leave, (x, w, b), tangents)
    assert_close((out, tangent), (x.sin(), x.cos() * tangents[0]))
    assert torch.autograd.gradgradcheck(leave, (x, w, b))
    hessian = torch.func.hessian(lambda x: leave(x, w, b).sum())(x)
    assert_close(hessian.reshape(6, 6), torch.diag(-x.sin().flatten()))


@pytest.mark.parametrize("alias", [False, True])
@pytest.mark.parametrize("in_dims", [(0, 0, 0), (0, None, 0), (None, 0, None), (2, None, None)])
def test_one_gradient_for_each_of_several(in_dims, alias):
    shapes = [(3, 2), (2,), ()]
    several = [
        torch.randn(4, *shape, dtype=torch.float64).movedim(0, dim)
        if dim is not None
        else torch.randn(shape, dtype=torch.float64)
        for shape, dim in zip(shapes, in_dims, strict=True)
    ]

    def loss(x, w, b):
        return dropped(x, w, b, alias).pow(3).sum()

    ours = vmap(grad(loss, argnums=(0, 1, 2)), in_dims=in_dims)(*several)
    for i in range(4):
        x, w, b = (
            v if dim is None else v.select(dim, i) for v, dim in zip(several, in_dims, strict=True)
        )
        assert_close([g[i] for g in ours], [3 * x.sin() ** 2 * x.cos(), 0 * w, 0 * b])


@pytest.mark.parametrize("change", [torch.relu_, lambda h: h.mul_(2), lambda h: h[:1].zero_()])
def test_what_follows_may_change_the_stream_in_place(change):
    # Sigmoid keeps its output for the backward pass.
    x, layer = torch.randn(3, 2, dtype=torch.float64), nn.Linear(2, 2)

    def gradient(leave):
        v = x.clone().requires_grad_()
        h = leave(v.sigmoid())
        change(h)
        return torch.autograd.grad(h.square().sum(), v)

    ours = gradient(lambda h: with_zero_grads(h, layer.parameters()))
    assert_close(ours, gradient(torch.clone))


def test_parameters_may_change_before_the_backward_pass():
    w, x = nn.Parameter(torch.ones(2)), torch.ones(1, requires_grad=True)
    out = with_zero_grads(x, [w])
    with torch.no_grad():
        w.mul_(2)
    out.sum().backward()
    assert torch.equal(w.grad, torch.zeros(2))


def test_an_alias_shares_the_memory_of_the_stream():
    x, w = torch.ones(2, requires_grad=True), nn.Parameter(torch.ones(1))
    assert with_zero_grads(x, [w], alias=True).data_ptr() == x.data_ptr()
    assert with_zero_grads(x, [w]).data_ptr() != x.data_ptr()
