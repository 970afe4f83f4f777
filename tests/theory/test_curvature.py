import pytest
import torch
from torch.autograd.functional import hessian

import stochastic_depth as sd
from tests.theory.networks import LOSSES, POINTS, batch, relu, smooth, square, targets
from tests.theory.test_sensitivities import at_point

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
    monkeypatch.setattr("stochastic_depth.theory._masks.ELEMENTS", 2 * x.numel())
    torch.testing.assert_close(sd.theory.curvature(f, x, y, square, part="full"), whole)
