"""Copies of a model with stochastic depth: their own gates, their own weights."""

import copy
import io
import pickle

import pytest
import timm.utils
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import stochastic_depth as sd
from stochastic_depth.surgery import handle as handle_of

from .networks import NETWORKS, images


def pickled(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def saved(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def averaged(model: nn.Module) -> nn.Module:
    return AveragedModel(model).module


def timm_average(model: nn.Module) -> nn.Module:
    return timm.utils.ModelEmaV3(model).module.train()


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "torch.save": saved,
    "AveragedModel": averaged,
    "timm": timm_average,
}

FAMILIES = ["torchvision-resnet", "timm-vit", "own-cifar"]


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return NETWORKS[name]()


def freeze_statistics(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_a_copy_draws_the_same_stream_from_where_it_was_taken(name, model, make):
    x = images(name)
    handle = sd.apply(model, sd.schedules.uniform(0.6), seed=5)
    model.train()
    freeze_statistics(model)
    model(x)
    twin = make(model)
    freeze_statistics(twin)
    expected = [(model(x), handle.gates) for _ in range(3)]
    for output, gates in expected:
        assert torch.equal(twin(x), output)
        assert torch.equal(handle_of(twin).gates, gates)
    assert handle.step == handle_of(twin).step == 4
    assert type(twin) is type(model)


@pytest.mark.parametrize("name", ["timm-vit", "own-cifar"], indirect=True)
@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_a_copy_is_independent(name, model, make):
    x = images(name)
    handle = sd.apply(model, sd.schedules.uniform(0.6))
    twin = make(model.train())
    twin(x)
    twin(x)
    assert handle.step == 0
    handle_of(twin).survival = torch.ones(len(handle.blocks))
    assert handle.survival.min() < 1
    handle_of(twin).remove()
    model(x)
    assert handle.step == 1


@pytest.mark.parametrize("name", ["timm-vit", "own-cifar"], indirect=True)
@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_a_copy_runs_its_own_weights(name, model, make):
    x = images(name)
    sd.apply(model, sd.schedules.uniform(0.6))
    twin = make(model).eval()
    gates = torch.full((len(sd.surgery.handle(model).blocks),), 0.5)
    with sd.gating(twin, gates):
        before = twin(x)
    for parameter in model.parameters():
        parameter.data.zero_()
    with sd.gating(twin, gates):
        assert torch.equal(twin(x), before)
    for parameter in twin.parameters():
        parameter.data.zero_()
    with sd.gating(twin, gates):
        assert not twin(x).any()


def test_a_copy_taken_inside_a_forward_takes_no_part_in_it():
    model = NETWORKS["timm-vit"]()
    sd.apply(model, sd.schedules.uniform(0.6))
    copies = []
    hook = model.norm.register_forward_pre_hook(lambda *_: copies.append(copy.deepcopy(model)))
    model.train()(images("timm-vit"))
    hook.remove()
    copies[0].norm._forward_pre_hooks.clear()
    twin = sd.surgery.handle(copies[0])
    assert twin.step == 1
    copies[0].blocks[0](torch.randn(2, 5, 16, dtype=torch.float64))
    copies[0](images("timm-vit"))
    assert twin.step == 3
    assert sd.surgery.handle(model).step == 1


def test_a_copy_taken_under_forced_gates_is_not_forced():
    model, x = NETWORKS["timm-vit"](), images("timm-vit")
    expected = model(x)
    sd.apply(model, sd.schedules.uniform(0.6))
    with sd.gating(model, torch.zeros(3)):
        twin = copy.deepcopy(model)
    assert torch.equal(twin(x), expected)


def test_a_copy_of_one_block_draws_for_itself():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(0.6), seed=1)
    block = copy.deepcopy(model.blocks[1])
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    assert torch.equal(block(x), model.blocks[1](x))
    dropped = [torch.equal(block.train()(x), x) for _ in range(20)]
    assert 0 < sum(dropped) < 20
    assert handle.step == 0


def test_an_average_follows_its_model():
    model = NETWORKS["timm-resnet"]()
    sd.apply(model, sd.schedules.uniform(0.6))
    average = AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    for parameter in model.parameters():
        parameter.data += 1
    average.update_parameters(model)
    x = images("timm-resnet")
    plain = NETWORKS["timm-resnet"]()
    plain.load_state_dict(average.module.state_dict())
    assert torch.equal(average.eval()(x), plain(x))


def test_state_dicts_go_both_ways(name, model):
    keys = list(model.state_dict())
    plain = NETWORKS[name]()
    for tensor in plain.state_dict().values():
        if tensor.is_floating_point():
            tensor *= 0.9
    x = images(name)
    sd.apply(model, sd.schedules.uniform(0.6))
    assert list(model.state_dict()) == keys
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model(x), plain(x))
    fresh = NETWORKS[name]()
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), plain(x))
