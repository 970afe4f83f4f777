import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch.autograd.functional import hessian

import stochastic_depth as sd
from tests.theory.networks import LOSSES, POINTS, at_point, batch, relu, smooth, square, targets

PARTS = ("gauss-newton", "full")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
def test_full_part_is_the_hessian_in_the_gates(name, at):
    f, x, y, loss = smooth(), batch(), targets()[name], LOSSES[name]
    expected = hessian(lambda gates: loss(f(x, gates), y), at_point(at))
    torch.testing.assert_close(sd.theory.curvature(f, x, y, loss, at, "full"), expected)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
def test_gauss_newton_part_is_a_sandwich(name, at):
    """J^T H J with H formed sample by sample."""
    f, x, y, loss = smooth(), batch(), targets()[name], LOSSES[name]
    zeta, outputs = sd.theory.discrepancies(f, x, at), f(x, at_point(at)).detach()
    expected = torch.zeros(6, 6).double()
    for sample in range(7):
        target = y[sample : sample + 1]
        h = hessian(lambda o, target=target: loss(o[None], target), outputs[sample])
        expected += zeta[:, sample] @ h @ zeta[:, sample].T / 7
    torch.testing.assert_close(sd.theory.curvature(f, x, y, loss, at), expected)


def test_quadratic_loss_is_twice_the_square_of_the_discrepancy():
    f, x, y = relu(outputs=5), batch(), targets()["square"]
    expected = 2 * sd.theory.discrepancies(f, x).square().sum(2).mean(1)
    torch.testing.assert_close(sd.theory.regularizer(f, x, y, square), expected)


def test_cross_entropy_is_the_variance_of_the_discrepancy_under_the_softmax():
    f, x, y = relu(outputs=5), batch(), targets()["cross-entropy"]
    zeta, s = sd.theory.discrepancies(f, x), f(x, torch.ones(6)).softmax(1)
    variance = (s * zeta**2).sum(2) - (s * zeta).sum(2) ** 2
    found = sd.theory.regularizer(f, x, y, LOSSES["cross-entropy"])
    torch.testing.assert_close(found, variance.mean(1).detach())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
def test_regularizer_is_the_diagonal(part, at):
    f, x, y = smooth(), batch(), targets()["square"]
    matrix = sd.theory.curvature(f, x, y, square, at, part)
    torch.testing.assert_close(sd.theory.regularizer(f, x, y, square, at, part), matrix.diagonal())
    torch.testing.assert_close(matrix, matrix.T)


def test_the_parts_differ_in_smooth_networks_and_off_the_diagonal_of_relu_networks():
    """With ReLUs the output is piecewise linear in each single gate: no own curvature."""
    x, y = batch(), targets()["square"]

    def parts(f):
        return [sd.theory.curvature(f, x, y, square, part=part) for part in PARTS]

    gauss_newton, full = parts(smooth())
    own = (full - gauss_newton).diagonal().abs()
    assert (own[:-1] > 1e-3 * full.diagonal()[:-1]).all()
    assert own[-1] < 1e-12  # nothing comes after the last block: the output is linear in it
    gauss_newton, full = parts(relu(outputs=5))
    torch.testing.assert_close(full.diagonal(), gauss_newton.diagonal())
    assert (full - gauss_newton).abs().max() > 1e-3


def test_a_network_linear_in_its_gates_has_no_curvature_of_its_own():
    x = batch()

    def f(x, gates):
        return x * gates[0].reshape(-1, 1) + x.flip(1) * gates[1].reshape(-1, 1)

    def plain(outputs, y):
        return outputs.mean()

    assert not sd.theory.curvature(f, x, x, plain, [1.0, 1.0], "full").any()


def test_refuses_a_loss_without_hessian():
    f, x = smooth(), batch()
    with pytest.raises(sd.Unsupported, match="zero for every sample"):
        sd.theory.regularizer(f, x, targets()["square"], torch.nn.functional.l1_loss)

    def looks(outputs, y):
        return outputs.square().mean() if outputs.mean() > 0 else outputs.mean()

    with pytest.raises(sd.Unsupported, match="twice differentiable"):
        sd.theory.regularizer(f, x, x, looks)
    with pytest.raises(sd.InvalidArgument, match="Did you mean 'gauss-newton'"):
        sd.theory.regularizer(f, x, x, square, part="gauss_newton")
    with pytest.raises(sd.InvalidArgument, match="part must be one of"):
        sd.theory.curvature(f, x, x, square, part="diagonal")


def test_rows_that_do_not_fit_into_one_pass(monkeypatch):
    f, x, y = smooth(), batch(), targets()["square"]
    whole = sd.theory.curvature(f, x, y, square, part="full")
    monkeypatch.setattr("stochastic_depth.theory._gated_network.ELEMENTS", 2 * x.numel())
    torch.testing.assert_close(sd.theory.curvature(f, x, y, square, part="full"), whole)


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
