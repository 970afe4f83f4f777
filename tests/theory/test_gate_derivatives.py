import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import stochastic_depth as sd
from tests.helpers import Toy, convolutional
from tests.theory.networks import LOSSES, POINTS, at_point, batch, relu, smooth, square, targets


def loss_at(f, x, y, loss, gates):
    with torch.no_grad():
        return loss(f(x, gates), y)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
def test_sensitivities_are_finite_differences(name, at):
    f, x, y, loss = smooth(), batch(), targets()[name], LOSSES[name]
    step = 1e-5 * torch.eye(6).double()
    point = at_point(at)
    differences = (
        torch.stack(
            [loss_at(f, x, y, loss, point + s) - loss_at(f, x, y, loss, point - s) for s in step]
        )
        / 2e-5
    )
    found = sd.theory.sensitivities(f, x, y, loss, at)
    torch.testing.assert_close(found, differences, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("at", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("name", LOSSES)
def test_leave_one_out_is_a_loop_over_blocks(name, at):
    f, x, y, loss = relu(outputs=5), batch(), targets()[name], LOSSES[name]
    point = at_point(at)
    expected = []
    for block in range(6):
        without = point.clone()
        without[block] = 0
        expected.append(loss_at(f, x, y, loss, point) - loss_at(f, x, y, loss, without))
    found = sd.theory.leave_one_out(f, x, y, loss, at)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-14)


def test_sensitivities_are_leave_one_out_to_first_order():
    """Halving the branches divides what they differ by, of second order, by four."""
    x, y = batch(), targets()["square"]
    errors = []
    for scale in (0.02, 0.01):
        f = smooth(scale=scale)
        difference = sd.theory.sensitivities(f, x, y, square)
        difference = difference - sd.theory.leave_one_out(f, x, y, square)
        errors.append(difference.norm())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_depth_scaling_belongs_to_the_gate():
    """The number is d loss / d gate, not the derivative in the scaled branch."""
    f, x, y = smooth(scale=0.5), batch(), targets()["square"]
    doubled = smooth(scale=1.0)
    half = [0.5] * 6
    found = sd.theory.sensitivities(doubled, x, y, square, half)
    torch.testing.assert_close(found / 2, sd.theory.sensitivities(f, x, y, square))


def test_the_model_is_left_as_it_was():
    f, x, y = relu(outputs=5).requires_grad_(False), batch(), targets()["square"]
    f.encoder.requires_grad_(True)
    assert sd.theory.sensitivities(f, x, y, square).abs().min() > 0
    assert all(parameter.grad is None for parameter in f.parameters())


def test_masks_that_do_not_fit_into_one_pass(monkeypatch):
    f, x, y = smooth(), batch(), targets()["square"]
    whole = sd.theory.leave_one_out(f, x, y, square)
    monkeypatch.setattr("stochastic_depth.theory._gated_network.ELEMENTS", 2 * x.numel())
    torch.testing.assert_close(sd.theory.leave_one_out(f, x, y, square), whole)


BATCH_NORM = nn.ModuleList(
    sd.blocks.Residual(nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5))) for _ in range(6)
)


def chain(blocks):
    def f(x, gates):
        for block, gate in zip(blocks, gates, strict=True):
            x = block(x, gate)
        return x

    return f


class Chain(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks

    def forward(self, x, gates):
        return chain(self.blocks)(x, gates)


QUESTIONS = {
    "sensitivities": lambda f, x, at=None: sd.theory.sensitivities(f, x, x, mse_loss, at),
    "leave_one_out": lambda f, x, at=None: sd.theory.leave_one_out(f, x, x, mse_loss, at),
    "discrepancies": sd.theory.discrepancies,
    "regularizer": lambda f, x, at=None: sd.theory.regularizer(f, x, x, mse_loss, at),
    "full": lambda f, x, at=None: sd.theory.curvature(f, x, x, mse_loss, at, "full"),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_refuses_what_cannot_be_analysed(ask):
    x = batch()
    model = Chain(BATCH_NORM).double().train()
    before = model.blocks[0].branch[1].running_mean.clone()
    with pytest.raises(sd.Unsupported, match=r"batch statistics.*blocks.0.branch.1"):
        ask(model, x)
    assert torch.equal(model.blocks[0].branch[1].running_mean, before)
    with pytest.raises(sd.Unsupported, match="treat samples apart"):
        ask(chain(model.blocks), x, torch.ones(6))
    assert ask(model.eval(), x).isfinite().all()
    with pytest.raises(sd.InvalidArgument, match="number of blocks"):
        ask(chain(model.blocks), x)
    with pytest.raises(sd.InvalidArgument, match="vector of 6 entries"):
        ask(model, x, torch.ones(5))
    with pytest.raises(sd.InvalidArgument, match=r"at\[1\] must be finite"):
        ask(model, x, [1, float("nan"), 1, 1, 1, 1])


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_refuses_chance(ask):
    torch.manual_seed(0)
    noisy = Chain(
        nn.ModuleList(
            sd.blocks.Residual(nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5))) for _ in range(6)
        )
    )
    with pytest.raises(sd.Unsupported, match="without chance"):
        ask(noisy.double(), batch())


def test_refuses_what_has_no_derivative():
    f, x, y = smooth(), batch(), targets()["cross-entropy"]

    def mistakes(outputs, y):
        return (outputs.argmax(1) != y).double().mean()

    with pytest.raises(sd.Unsupported, match="without a graph"):
        sd.theory.sensitivities(f, x, y, mistakes)
    with pytest.raises(sd.Unsupported, match=r"shape \(7, 5\)"):
        sd.theory.sensitivities(f, x, x, lambda outputs, y: outputs - y)
    with pytest.raises(sd.Unsupported, match="depend on the gates"):
        sd.theory.discrepancies(lambda x, gates: x, x, torch.ones(6))


def test_sensemode_refuses_zeros_and_budgets_beyond_reach():
    """The sensitivities of a network whose last block is read by nobody, and of none at all."""
    f, x, y = relu(outputs=5), batch(), targets()["square"]
    f.decoder.weight.data.zero_()
    with pytest.raises(sd.InvalidArgument, match="all zero"):
        sd.budgets.sense(sd.theory.sensitivities(f, x, y, square), budget=0.5)
    with pytest.raises(sd.InfeasibleBudget, match="this allocation can reach"):
        sd.budgets.sense([0.3, 0.0, 0.0, 0.1], budget=0.6)


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
    monkeypatch.setattr("stochastic_depth.theory._gated_network.ELEMENTS", 2 * x.numel())
    torch.testing.assert_close(sd.theory.discrepancies(f, x), whole)
