import torch

from stochastic_depth.gates import Bernoulli, stream
from stochastic_depth.papers.hayou2021 import _regression
from stochastic_depth.papers.hayou2021._modes import UNIFORM, law
from stochastic_depth.papers.hayou2021._regression import (
    Training,
    masked_outputs,
    regression_data,
    trained,
)

SMALL = Training(depth=4, width=32, epochs=(0, 1, 60), samples=20, batch_size=10)


def losses(seed=0):
    x, y = regression_data(SMALL.samples, seed)
    networks = trained(SMALL, law(UNIFORM, SMALL.depth, 0.7), seed)
    return {epoch: float((model(x) - y).square().mean().detach()) for epoch, model in networks}


def test_networks_learn_their_training_set_by_heart():
    found = losses()
    assert list(found) == [0, 1, 60]
    assert found[60] < 0.5 * found[0]


def test_training_is_a_function_of_its_seed_and_leaves_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert losses() == losses()
    assert losses(seed=1) != losses()
    assert torch.equal(torch.rand(1), expected)


def test_targets_are_a_sine_of_one_direction():
    x, y = regression_data(400, seed=0)
    beta = torch.linalg.lstsq(x.double(), torch.asin(y.double())).solution
    assert y.abs().max() <= 1
    assert beta.norm() < 2  # the sine has folded what a linear map could find


def gates_as_outputs(x, gates):
    return gates.T + 10 * x


def test_every_input_has_masks_of_its_own(monkeypatch):
    """3000 masks of two inputs: correlation between inputs below five of its errors, 0.09."""
    monkeypatch.setattr(_regression, "ROWS", 7)
    law = Bernoulli([0.8, 0.3], rescale="test")
    x = torch.tensor([[0.0], [1.0]])
    found = masked_outputs(gates_as_outputs, x, law, 3000, stream(0, 0))
    assert found.shape == (3000, 2, 2)
    masks = found - 10 * x
    assert set(masks.round().unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(masks.mean((0, 1)), torch.tensor([0.8, 0.3]), rtol=0, atol=0.035)
    both = torch.corrcoef(masks[:, :, 0].T)
    assert abs(both[0, 1]) < 0.09
