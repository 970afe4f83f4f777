"""Batch normalisation within a graph: statistics of a dropped block do not move."""

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch._dynamo.utils import counters

import stochastic_depth as sd

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def cifar() -> nn.Module:
    return sd.models.CifarResNet(8, num_classes=3, width=2)


def torchvision_resnet() -> nn.Module:
    """Two blocks, the second with a projection that is normalised as well."""
    block = torchvision.models.resnet.BasicBlock
    projection = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2), nn.BatchNorm2d(8))
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    return nn.Sequential(stem, block(4, 4), block(4, 8, 2, projection), nn.Flatten())


def twins(build, per: str, size: int, **options: str) -> tuple[nn.Module, nn.Module, Tensor]:
    torch.manual_seed(0)
    model, x = build().double(), torch.randn(size, 3, 8, 8).double()
    sd.apply(model, sd.schedules.uniform(0.4), per=per, seed=3, example=x, **options)
    return model.train(), copy.deepcopy(model).train(), x


def gradients(model: nn.Module, run: object, x: Tensor) -> list[Tensor | None]:
    """Return the gradients of two forwards and one backward, as of two halves of a batch."""
    model.zero_grad()
    (run(x).square().sum() + run(x.flip(0)).square().sum()).backward()
    return [None if p.grad is None else p.grad for p in model.parameters()]


@pytest.mark.parametrize(
    ("build", "per", "options", "backend"),
    [
        (cifar, "batch", {}, "aot_eager"),
        (cifar, "sample", {}, "eager"),
        (torchvision_resnet, "batch", {"transitions": "drop"}, "eager"),
        (torchvision_resnet, "sample", {}, "aot_eager"),
    ],
)
def test_outputs_gradients_and_statistics_are_those_of_an_eager_step(build, per, options, backend):
    model, twin, x = twins(build, per, 4, **options)
    compiled = torch.compile(model, backend=backend)
    dropped, alone = 0, 0
    for _ in range(8):
        got, expected = gradients(model, compiled, x), gradients(twin, twin, x)
        for a, b in zip(got, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b)
        for (name, a), b in zip(model.named_buffers(), twin.buffers(), strict=True):
            torch.testing.assert_close(a, b, msg=name)
        gates = sd.surgery.handle(model).gates
        assert torch.equal(gates, sd.surgery.handle(twin).gates)
        counts = (gates.reshape(len(gates), -1) != 0).sum(1)
        dropped, alone = dropped + int((counts == 0).sum()), alone + int((counts == 1).sum())
    assert dropped > 0  # the draws must have met what is hard
    assert alone > 0
    assert counters["stats"]["unique_graphs"] == 1


def test_frozen_statistics_stay_frozen():
    model, _, x = twins(cifar, "batch", 4)
    frozen = [m.eval() for m in model.blocks.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in frozen]
    compiled = torch.compile(model, backend="eager")
    for _ in range(3):
        compiled(x).sum().backward()
    assert all(torch.equal(norm.running_mean, b) for norm, b in zip(frozen, before, strict=True))
