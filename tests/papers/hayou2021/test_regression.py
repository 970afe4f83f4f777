import torch

from stochastic_depth.papers.hayou2021._modes import UNIFORM, law
from stochastic_depth.papers.hayou2021._regression import Training, regression_data, trained

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
