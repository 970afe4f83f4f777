import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import stochastic_depth as sd

G = [0.02, 0.5, 1.0, 3.0, 0.3, 8.0, 1e-3]

weights = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8)
budgets = st.floats(0.05, 1.0)


def variance(p, rescale):
    return (1 - p) / p if rescale == "train" else p * (1 - p)


@pytest.mark.parametrize("budget", [0.1, 0.35, 0.62, 0.9])
def test_inverted_law_against_a_numerical_minimiser(budget):
    g = np.array(G)
    found = sd.theory.min_regularization(G, budget).numpy()
    numerical = minimize(
        lambda p: (variance(p, "train") * g).sum(),
        np.full(len(G), budget),
        jac=lambda p: -g / p**2,
        bounds=[(1e-6, 1)] * len(G),
        constraints={"type": "eq", "fun": lambda p: p.sum() - budget * len(G)},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert numerical.success
    np.testing.assert_allclose(found, numerical.x, atol=2e-4)
    assert (variance(found, "train") * g).sum() <= numerical.fun * (1 + 1e-8)


@pytest.mark.parametrize("budget", [0.1, 0.35, 0.62, 0.9])
def test_largest_regulariser_against_a_numerical_maximiser(budget):
    """Lemma 2, at budgets with and without clipped blocks."""
    g = np.array(G)
    found = sd.budgets.max_regularization(G, budget).numpy()
    numerical = minimize(
        lambda p: -(variance(p, "test") * g).sum(),
        np.full(len(G), budget),
        jac=lambda p: -(1 - 2 * p) * g,
        bounds=[(0, 1)] * len(G),
        constraints={"type": "eq", "fun": lambda p: p.sum() - budget * len(G)},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert numerical.success
    np.testing.assert_allclose(found, numerical.x, atol=1e-5)


@given(weights, budgets)
def test_optimality_conditions_of_the_inverted_law(g, budget):
    """One marginal gain g/p^2 for all blocks with p < 1, no smaller for those at 1."""
    g = torch.tensor(g, dtype=torch.float64)
    p = sd.theory.min_regularization(g, budget)
    assert float(p.mean()) == pytest.approx(budget, abs=1e-6)
    gain, inside = g / p**2, p < 1 - 1e-9
    if inside.any():
        assert float(gain[inside].max() / gain[inside].min()) == pytest.approx(1, rel=1e-6)
        assert (gain[~inside] >= gain[inside].max() * (1 - 1e-6)).all()


@given(weights, budgets, st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_no_feasible_point_has_a_smaller_concave_objective(g, budget, seed):
    g = torch.tensor(g, dtype=torch.float64)
    p = sd.theory.min_regularization(g, budget, rescale="test")
    assert float(p.mean()) == pytest.approx(budget, abs=1e-6)
    assert ((p == 0) | (p == 1)).sum() >= len(p) - 1
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        wanted = torch.rand(len(g), generator=generator, dtype=torch.float64)
        other = sd.budgets.project((4 * wanted - 1.5).clamp(0, 1), budget)
        smallest = (variance(p, "test") * g).sum()
        assert smallest <= (variance(other, "test") * g).sum() + 1e-6 * g.sum()


def test_a_whole_number_of_blocks_costs_nothing():
    p = sd.theory.min_regularization([1.0, 2.0, 5.0, 4.0, 3.0], budget=0.6, rescale="none")
    assert p.tolist() == [0, 0, 1, 1, 1]


def test_refusals():
    with pytest.raises(sd.InvalidArgument, match=r"g\[1\] must be positive"):
        sd.theory.min_regularization([1.0, 0.0], 0.5)
    with pytest.raises(sd.InvalidArgument, match="budget must be in"):
        sd.theory.min_regularization([1.0, 1.0], 1.5, rescale="test")
    with pytest.raises(sd.InvalidArgument, match="budget must be positive"):
        sd.theory.min_regularization([1.0, 1.0], 0.0, rescale="test")
    with pytest.raises(sd.InvalidArgument, match="rescale must be one of"):
        sd.theory.min_regularization([1.0, 1.0], 0.5, rescale="inverted")
