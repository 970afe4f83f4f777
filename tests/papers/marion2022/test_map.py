"""The map of relative changes, against one cell at a time."""

import math

import pytest
import torch

from stochastic_depth import theory
from stochastic_depth.models import scaled_states, weights
from stochastic_depth.papers.marion2022._map import Networks, change_by_beta, crossing
from stochastic_depth.papers.marion2022._networks import draw_ends

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
