"""Initial networks against one network at a time, and the map against one cell at a time."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth.models import scaled_states, weights
from stochastic_depth.papers.marion2022._initial_networks import (
    INPUTS,
    Networks,
    change_by_beta,
    crossing,
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


NETWORKS = Networks(depth=20, width=6, draws=3, inputs=2)


@pytest.mark.parametrize("masked", [False, True])
def test_a_column_is_its_cells(masked):
    betas, process = [0.0, 0.4, 1.3], weights.fractional(0.8)
    gates = (torch.arange(60).view(20, 3) % 4 > 0).float() if masked else None
    column = change_by_beta(process, betas, NETWORKS, seed=5, gates=gates)
    assert column.log10.shape == (3, 3, 2)
    layers = weights.draw(process, 20, 6, networks=3, seed=5)
    hidden = draw_ends(3, 6, inputs=2, seed=5).hidden
    for index, beta in enumerate(betas):
        cell = theory.relative_change(scaled_states(hidden, layers, 20**-beta, gates))
        torch.testing.assert_close(column.log10[:, index], cell.log10, rtol=1e-4, atol=1e-5)


def test_overflow_is_infinite_and_never_nan():
    networks = Networks(depth=600, width=10, draws=2, inputs=2)
    column = change_by_beta(weights.fractional(0.9), [0.0, 1.3], networks, seed=0)
    assert (column.log10[:, 0] == math.inf).all()
    assert (column.overflow[:, 0] > 0).all()
    assert column.log10[:, 1].isfinite().all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.0, 1.0, -1.0, -3.0], 0.15),
        ([math.inf, math.inf, -1.0, -2.0], 0.2),
        ([1.0, -1.0, 3.0, -1.0], 0.275),
        ([1.0, 1.0, 1.0, 0.5], None),
        ([-1.0, -2.0, -3.0, -4.0], None),
    ],
)
def test_crossing(values, expected):
    found = crossing([0.0, 0.1, 0.2, 0.3], values)
    assert found is None if expected is None else found == pytest.approx(expected)
