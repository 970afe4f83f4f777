"""Averages of the weights of a model with stochastic depth, by torch and by timm."""

import pytest
import timm.utils
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import stochastic_depth as sd

from .networks import NETWORKS, images

DECAY, STEPS = 0.75, 5


class TimmAverage(timm.utils.ModelEmaV3):
    def update_parameters(self, model: nn.Module) -> None:
        self.update(model)


AVERAGES = {
    "torch": lambda model: AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True
    ),
    "timm": lambda model: TimmAverage(model, decay=DECAY),
}


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("name", ["torchvision-resnet", "own-cifar", "timm-vit"])
def test_an_average_is_the_recursion_and_evaluates_at_the_mean_of_the_gates(name, kind):
    model, x = NETWORKS[name](), images(name)
    handle = sd.apply(model, sd.schedules.uniform(0.6), rescale="test")
    average = AVERAGES[kind](model)
    average.update_parameters(model)  # torch copies the first time
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model.train()(x).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                expected[key] = DECAY * expected[key] + (1 - DECAY) * value
    plain = NETWORKS[name]()
    plain.load_state_dict(expected)
    with sd.gating(plain, handle.law.evaluation):
        reference = plain.eval()(x)
    torch.testing.assert_close(average.eval()(x), reference, rtol=1e-9, atol=1e-12)
    assert handle.step == STEPS
    assert sd.surgery.handle(average.module).step == 0
