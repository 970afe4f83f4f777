"""Initial networks and gradients, against one network at a time."""

import torch

from stochastic_depth.models import weights
from stochastic_depth.papers.marion2022._networks import (
    INPUTS,
    draw_ends,
    states_and_gradients,
)


def test_gradients_are_those_of_each_network_alone():
    layers = weights.draw(weights.uniform(), 4, 6, networks=3)
    ends = draw_ends(3, 6, inputs=2, seed=1)
    states, gradients = states_and_gradients(ends, layers, 0.5)
    downward = list(gradients)
    assert len(states) == len(downward) == 5
    for network in range(3):
        h = ends.hidden[network].clone().requires_grad_()
        state = h
        for outer, inner in layers[:, :, network]:
            state = state + 0.5 * torch.relu(state @ inner.T) @ outer.T
        loss = (state @ ends.readout[network].T - ends.target[network]).square().sum()
        torch.testing.assert_close(states[-1][network], state)
        (expected,) = torch.autograd.grad(loss, h)
        torch.testing.assert_close(downward[-1][network], expected)


def test_ends_have_the_laws_of_the_paper():
    ends = draw_ends(4000, 8, seed=0)
    # x uniform on [0, 1]: E h^2 = E x^2 = 1/3; n = 32,000 dependent values, 5 %.
    assert abs(float(ends.hidden.square().mean()) * 3 - 1) < 0.05
    assert abs(float(ends.readout.square().mean()) * 8 - 1) < 0.05
    assert ends.target.min() >= 0
    assert ends.target.max() <= 1
    assert INPUTS == 64


def test_repeated_inputs_keep_their_networks():
    ends = draw_ends(3, 4, inputs=2, seed=0)
    twice = ends.repeated(2)
    assert torch.equal(twice.hidden[:, 0], twice.hidden[:, 1])
    assert torch.equal(twice.hidden[:, ::2], ends.hidden)
    assert torch.equal(twice.readout, ends.readout)
