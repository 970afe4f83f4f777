"""The theory of a network that knows nothing of gates: torchvision's ResNet-18."""

import pytest
import torch
import torchvision
from torch.nn.functional import cross_entropy

import stochastic_depth as sd

ONES = torch.ones(8, dtype=torch.float64)


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=3).double()
    x, y = torch.randn(2, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 2])
    return model.eval(), sd.gated(model), x, y


def test_first_order_against_finite_differences(case):
    _, f, x, y = case
    outputs, losses = [], []
    with torch.no_grad():
        for step in 1e-6 * torch.eye(8, dtype=torch.float64):
            ahead, behind = f(x, ONES + step), f(x, ONES - step)
            outputs.append((ahead - behind) / 2e-6)
            losses.append((cross_entropy(ahead, y) - cross_entropy(behind, y)) / 2e-6)
    zeta = sd.theory.discrepancies(f, x, ONES)
    torch.testing.assert_close(zeta, torch.stack(outputs), rtol=1e-5, atol=1e-8)
    s = sd.theory.sensitivities(f, x, y, cross_entropy, ONES)
    torch.testing.assert_close(s, torch.stack(losses), rtol=1e-5, atol=1e-8)


def test_second_order_parts_agree_in_a_network_of_relus(case):
    _, f, x, y = case
    part = sd.theory.regularizer(f, x, y, cross_entropy, ONES)
    full = sd.theory.regularizer(f, x, y, cross_entropy, ONES, part="full")
    assert (part > 0).all()
    torch.testing.assert_close(part, full, rtol=1e-6, atol=1e-10)


def test_batch_statistics_are_noticed_behind_a_callable(case):
    model, f, x, y = case
    model.train()
    with pytest.raises(sd.Unsupported, match=r"Call eval\(\) on the model inside f"):
        sd.theory.sensitivities(f, x, y, cross_entropy, ONES)
