import pytest
import torch

import stochastic_depth as sd
from tests.helpers import Toy, convolutional
from tests.theory.networks import LOSSES, POINTS, batch, relu, smooth, targets
from tests.theory.test_sensitivities import at_point


@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
def test_discrepancies_are_finite_differences(at):
    f, x = smooth(), batch()
    point, step = at_point(at), 1e-5 * torch.eye(6).double()
    with torch.no_grad():
        differences = torch.stack([f(x, point + s) - f(x, point - s) for s in step]) / 2e-5
    torch.testing.assert_close(sd.theory.discrepancies(f, x, at), differences, rtol=1e-6, atol=1e-9)


def test_images_and_outputs_of_several_dimensions():
    torch.manual_seed(0)
    f = Toy(convolutional(3, norm=True)).double().eval()
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    found = sd.theory.discrepancies(f, x)
    jacobian = torch.autograd.functional.jacobian(lambda d: f(x, d), torch.ones(3).double())
    assert found.shape == (3, 2, 36)
    torch.testing.assert_close(found, jacobian.flatten(0, 3).T.reshape(3, 2, 36))


@pytest.mark.parametrize("name", LOSSES)
def test_chain_rule_joins_them_to_the_sensitivities(name):
    f, x, y = relu(outputs=5), batch(), targets()[name]
    outputs = f(x, torch.ones(6)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(LOSSES[name](outputs, y), outputs)
    chained = torch.einsum("lno,no->l", sd.theory.discrepancies(f, x), slope)
    torch.testing.assert_close(chained, sd.theory.sensitivities(f, x, y, LOSSES[name]))


def test_blocks_that_do_not_reach_the_output_have_none():
    f, x = smooth(), batch()

    def third(x, gates):
        for block, gate in zip(f.blocks[:3], gates[:3], strict=True):
            x = block(x, gate)
        return x

    zeta = sd.theory.discrepancies(third, x, torch.ones(6))
    assert (zeta[:3].abs().amax((1, 2)) > 0).all()
    assert not zeta[3:].any()


def test_output_columns_that_do_not_fit_into_one_pass(monkeypatch):
    f, x = smooth(), batch()
    whole = sd.theory.discrepancies(f, x)
    monkeypatch.setattr("stochastic_depth.theory._masks.ELEMENTS", 2 * x.numel())
    torch.testing.assert_close(sd.theory.discrepancies(f, x), whole)
