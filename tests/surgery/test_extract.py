"""Subnetworks that compute f(x; d) without gates."""

import pickle

import pytest
import torch
from torch import nn

import stochastic_depth as sd

from .networks import MASKED, NETWORKS, images


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return NETWORKS[name]()


def zero_one(length: int) -> torch.Tensor:
    return torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 1.0])[torch.arange(length) % 6]


def mixed(length: int) -> torch.Tensor:
    return torch.tensor([0.7, 0.0, 1.0, 1.9, 0.3, 0.0])[torch.arange(length) % 6]


@pytest.mark.parametrize("choose", [zero_one, mixed])
def test_it_computes_what_the_gates_compute(name, model, choose):
    x = images(name)
    gates = choose(len(sd.find_blocks(model)))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    part = sd.extract(model, gates)
    with sd.gating(model, gates.double()):
        expected = model(x)
    assert (part(x) - expected).abs().max() < 1e-12
    assert part is not model
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in before)


@pytest.mark.parametrize(("granularity", "scale"), [("branch", "block"), ("block", "branch")])
@pytest.mark.parametrize("name", ["timm-vit", "torchvision-swin"])
def test_equal_gates_of_branches_scale_each_of_them(name, granularity, scale):
    model, x = NETWORKS[name](), images(name)
    sd.apply(model, sd.schedules.uniform(0.5), granularity=granularity, scale=scale)
    gates = torch.full((len(sd.find_blocks(model)),), 0.5)
    with sd.gating(model, gates.double()):
        expected = model(x)
    assert (sd.extract(model, gates)(x) - expected).abs().max() < 1e-12


def test_dropped_blocks_are_physically_gone_and_other_keys_stay(name, model):
    blocks = sd.find_blocks(model)
    gates = zero_one(len(blocks))
    part = sd.extract(model, gates)
    shortcuts = ("downsample", "shortcut")
    expected = {
        key
        for key in model.state_dict()
        if not any(
            key.startswith(f"{block.path}.")
            and not key.removeprefix(f"{block.path}.").startswith(shortcuts)
            for block in blocks
            if gates[block.index] == 0
        )
    }
    assert set(part.state_dict()) == expected
    assert len(expected) < len(model.state_dict())
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in part.state_dict().items())


def test_it_is_saved_like_any_model(name, model):
    x = images(name)
    part = sd.extract(model, mixed(len(sd.find_blocks(model))))
    assert torch.equal(pickle.loads(pickle.dumps(part))(x), part(x))


@pytest.mark.parametrize("name", ["timm-vit", "torchvision-resnet"], indirect=True)
def test_it_is_exported_like_any_model(name, model):
    x = images(name)
    part = sd.extract(model, mixed(len(sd.find_blocks(model))))
    exported = torch.export.export(part, (x,))
    assert (exported.module()(x) - part(x)).abs().max() < 1e-12


@pytest.mark.parametrize("rescale", ["train", "test"])
def test_of_a_model_with_stochastic_depth_the_evaluated_network_remains(name, model, rescale):
    x = images(name)
    kinds = [type(module) for module in model.modules()]
    handle = sd.apply(model, sd.schedules.linear(0.5), rescale=rescale)
    part = sd.extract(model, handle.law.evaluation)
    assert (part(x) - model(x)).abs().max() < 1e-12
    if name != "torchvision-swin":  # whose attention hands its weights to a function
        assert [type(module) for module in part.modules()] == kinds
    assert handle.step == 0


def test_branches_of_a_block_are_cut_apart():
    model, x = NETWORKS["timm-vit"](), images("timm-vit")
    handle = sd.apply(model, sd.schedules.uniform(0.5), granularity="branch")
    gates = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.4, 0.0], dtype=torch.float64)
    part = sd.extract(model, gates)
    with sd.gating(model, gates):
        assert (part(x) - model(x)).abs().max() < 1e-12
    left = {f"{block}" for block in handle.blocks if gates[block.index]}
    assert left == {"blocks.0 [attn]", "blocks.1 [mlp]", "blocks.2 [attn]"}
    assert not list(part.blocks[0].mlp.parameters())
    assert not list(part.blocks[1].attn.parameters())


@pytest.mark.parametrize("name", MASKED)
def test_masks_of_the_model_are_off(name):
    model = MASKED[name](0.5)
    part = sd.extract(model, torch.ones(len(sd.find_blocks(model))))
    x = images(name)
    assert torch.equal(part.eval()(x), model(x))
    for module in part.modules():
        if not isinstance(module, nn.BatchNorm2d):
            module.training = True
    assert torch.equal(part(x), model(x))


def test_what_is_left_of_a_block_is_still_called_as_before():
    class Masked(nn.Module):
        def __init__(self, vit: nn.Module) -> None:
            super().__init__()
            self.blocks = vit.blocks

        def forward(self, x, mask=None):
            for block in self.blocks:
                x = block(x, attn_mask=mask)
            return x

    model = Masked(NETWORKS["timm-vit"]())
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    handle = sd.apply(model, sd.schedules.uniform(0.5), granularity="branch", example=x)
    part = sd.extract(model, torch.tensor([0.0, 1, 1, 0, 0, 0]), example=x)
    assert len(handle.blocks) == 6
    mask = torch.ones(5, 5, dtype=torch.float64).triu(1) * -9
    with sd.gating(model, torch.tensor([0.0, 1, 1, 0, 0, 0], dtype=torch.float64)):
        for given in (None, mask):
            assert (part(x, given) - model(x, given)).abs().max() < 1e-12
        assert (part(x, mask) - part(x)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ([1.0, 0.0], "gates must be a vector of 3 entries"),
        ([1.0, float("nan"), 0.0], r"gates\[1\] must be finite"),
    ],
)
def test_bad_gates_are_refused(gates, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.extract(NETWORKS["timm-vit"](), torch.tensor(gates))


class Squashed(nn.Module):
    """A branch whose last weights are behind a non-linear function."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.tanh = nn.Tanh()

    def forward(self, x):
        return x + self.tanh(self.linear(x))


def test_a_gate_that_no_weight_can_take_multiplies():
    model = nn.Sequential(Squashed(), Squashed()).double()
    x = torch.randn(2, 4, dtype=torch.float64)
    part = sd.extract(model, torch.tensor([0.3, 1.0], dtype=torch.float64))
    expected = model[1](x + 0.3 * model[0].linear(x).tanh())
    assert (part(x) - expected).abs().max() < 1e-12
    assert torch.equal(part[0].linear.weight, model[0].linear.weight)


class Pair(nn.Module):
    """Two branches that may share weights."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        x = x + self.first(x)
        return x + self.second(x)


class Twice(nn.Module):
    """Applies its last layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(self.layer(x))


def sharing() -> dict[str, nn.Module]:
    layer, tied = nn.Linear(4, 4), nn.Linear(4, 4)
    tied.weight = layer.weight
    return {
        "one layer in two branches": nn.Sequential(Pair(layer, layer)),
        "one weight in two layers": nn.Sequential(Pair(layer, tied)),
        "one layer in two blocks": nn.Sequential(
            Pair(layer, nn.Linear(4, 4)), Pair(nn.Linear(4, 4), layer)
        ),
        "one layer in block and head": nn.Sequential(Pair(nn.Linear(4, 4), layer), layer),
        "a layer applied twice": nn.Sequential(Pair(Twice(), nn.Linear(4, 4))),
        "layers in a row": nn.Sequential(Pair(nn.Sequential(layer, layer), nn.Linear(4, 4))),
        "nothing": nn.Sequential(Pair(nn.Linear(4, 4), nn.Linear(4, 4))),
    }


@pytest.mark.parametrize("case", sharing())
def test_weights_that_are_used_elsewhere_are_not_scaled(case):
    model = sharing()[case].double()
    x = torch.randn(2, 4, dtype=torch.float64)
    gates = torch.tensor([0.5, 0.25][: len(sd.find_blocks(model))], dtype=torch.float64)
    part = sd.extract(model, gates)
    with sd.gating(model, gates):
        assert (part(x) - model(x)).abs().max() < 1e-12


def test_a_block_with_another_forward_in_training_keeps_both():
    class Noisy(Squashed):
        def forward(self, x):
            y = self.linear(x)
            return x + (y if self.training else self.tanh(y))

    model, x = nn.Sequential(Noisy(), Noisy()).double(), torch.randn(2, 4).double()
    gates = torch.tensor([0.0, 0.5], dtype=torch.float64)
    part = sd.extract(model, gates)
    for training in (True, False):
        with sd.gating(model.train(training), gates):
            assert (part.train(training)(x) - model(x)).abs().max() < 1e-12
