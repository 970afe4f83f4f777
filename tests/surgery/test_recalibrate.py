"""Statistics of BatchNorm at full depth."""

import pytest
import torch
from torch import nn

import stochastic_depth as sd

from .networks import NETWORKS, images


def batches() -> list[torch.Tensor]:
    return [images("torchvision-resnet", 6, seed) for seed in range(3)]


def test_they_are_the_averages_over_batches_at_full_depth():
    model = NETWORKS["torchvision-resnet"]()
    plain = NETWORKS["torchvision-resnet"]()
    sd.apply(model, sd.schedules.linear(0.5)).model.train()
    for _ in range(3):
        model(batches()[0])  # statistics of training
    sd.surgery.recalibrate(model, iter(batches()))

    # A plain twin without dropout is in training what it is at full depth.
    torch.optim.swa_utils.update_bn(batches(), plain)
    expected, actual = plain.state_dict(), model.state_dict()
    statistics = [key for key in actual if key.endswith(("running_mean", "running_var"))]
    assert len(statistics) > 20
    for key in statistics:
        assert (actual[key] - expected[key]).abs().max() < 1e-12
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert all(module.training for module in model.modules())


def test_gates_are_those_of_evaluation_and_dropout_is_off():
    model = nn.Sequential(
        sd.blocks.Residual(nn.Linear(3, 3)), nn.Dropout(0.9), nn.BatchNorm1d(3)
    ).double()
    sd.apply(model, sd.schedules.uniform(0.25), rescale="test")
    x = torch.randn(8, 3, dtype=torch.float64)
    sd.surgery.recalibrate(model, [(x,)])
    expected = (x + 0.25 * model[0].branch(x)).mean(0)
    assert (model[2].running_mean - expected).abs().max() < 1e-12


def test_what_cannot_be_recalibrated_is_refused():
    with pytest.raises(sd.InvalidArgument, match="model must be one with BatchNorm layers"):
        sd.surgery.recalibrate(NETWORKS["timm-vit"](), [images("timm-vit")])
    model = NETWORKS["torchvision-resnet"]()
    before = model.bn1.running_mean.clone()
    with pytest.raises(sd.InvalidArgument, match="inputs must be at least one batch"):
        sd.surgery.recalibrate(model, [])
    assert torch.equal(model.bn1.running_mean, before)
