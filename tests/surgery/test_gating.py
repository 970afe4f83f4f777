"""Gates chosen by the caller."""

import copy

import pytest
import torch
from torch import nn

import stochastic_depth as sd
from tests.helpers import ALL_GATES

from .networks import NETWORKS, difference, gradients, images


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return NETWORKS[name]()


def test_own_models_agree_with_their_own_gates_argument():
    for name in ("own-cifar", "own-vanilla"):
        model, x = NETWORKS[name](), images(name)
        f = sd.gated(model)
        for seed in range(5):
            gates = torch.rand(len(model.blocks), generator=torch.Generator().manual_seed(seed))
            gates[seed % 4] = 0
            with sd.gating(model, gates):
                assert torch.equal(model(x), model(x, gates.double()))
            assert torch.equal(f(x, gates), model(x, gates.double()))


def test_explicit_gates_have_precedence_over_drawn_ones():
    model, x = NETWORKS["own-vanilla"]().train(), images("own-vanilla")
    gates = torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    expected = model(x, gates)
    sd.apply(model, sd.schedules.uniform(0.5))
    assert torch.equal(model(x, gates), expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["timm-vit", "own-vanilla"], indirect=True)
def test_forced_gates_hold_in_both_modes_and_draw_nothing(name, model, training):
    x = images(name)
    gates = torch.ones(len(sd.find_blocks(model)))
    gates[0] = 0
    with sd.gating(model, gates):
        expected = model(x)
    handle = sd.apply(model, sd.schedules.uniform(0.5), rescale="test")
    model.train(training)
    with sd.gating(model, gates):
        assert torch.equal(model(x), expected)
        with sd.gating(model, 1 - gates):  # statements nest
            assert not torch.equal(model(x), expected)
        assert torch.equal(model(x), expected)
    assert handle.step == 0
    assert handle.gates is None


@pytest.mark.parametrize("name", ["timm-vit"], indirect=True)
def test_a_statement_left_by_an_error_leaves_nothing_behind(name, model):
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(KeyError), sd.gating(model, torch.zeros(3)):
        raise KeyError
    assert [type(module) for module in model.modules()] == kinds
    handle = sd.apply(model, sd.schedules.uniform(0.5), rescale="none")
    expected = model(images(name))
    with pytest.raises(KeyError), sd.gating(model, torch.zeros(3)):
        raise KeyError
    assert torch.equal(model(images(name)), expected)
    assert len(handle.blocks) == 3


def test_gated_shares_parameters_and_modes_and_changes_nothing(name, model):
    x = images(name)
    kinds = [type(module) for module in model.modules()]
    f = sd.gated(model)
    gates = torch.ones(len(sd.find_blocks(model)))
    assert [type(module) for module in model.modules()] == kinds
    assert torch.equal(f(x, gates), model(x))
    for parameter in model.parameters():
        parameter.data *= 0.9
    assert torch.equal(f(x, gates), model(x))
    f(x, gates).square().sum().backward()
    ours = gradients(model)
    model.zero_grad()
    model(x).square().sum().backward()
    assert difference(ours, gradients(model)) == 0
    # Running statistics that move in training are those of the model.
    model.train()
    f(x, gates)
    statistics = [b for n, b in model.named_buffers() if n.endswith("running_mean")]
    assert all(buffer.any() for buffer in statistics)


def test_gated_follows_the_model_to_another_dtype():
    model = NETWORKS["torchvision-resnet"]()
    f = sd.gated(model)
    model.float()
    x = images("torchvision-resnet").float()
    assert torch.equal(f(x, torch.ones(6)), model(x))


def test_gated_on_a_model_with_stochastic_depth_leaves_its_gates_alone():
    model = NETWORKS["timm-vit"]().train()
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    f = sd.gated(model)
    f(images("timm-vit"), torch.zeros(3))
    assert handle.step == 0


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", ["timm-vit", "torchvision-resnet", "own-cifar"], indirect=True)
def test_derivatives_in_the_gates_are_finite_differences(name, model, per_sample):
    x = images(name, batch_size=2)
    f = sd.gated(model)
    length = len(sd.find_blocks(model))
    noise = torch.Generator().manual_seed(0)
    shape = (length, 2) if per_sample else (length,)
    gates = torch.rand(shape, generator=noise, dtype=torch.float64) + 0.2
    if name != "own-cifar":  # whose stream has zeros, on the kink of the ReLU after the sum
        gates.flatten()[0] = 0.0  # the derivative at a closed gate is the branch's, not 0
    assert torch.autograd.gradcheck(
        lambda d: f(x, d).tanh(), gates.requires_grad_(), eps=1e-6, atol=1e-5
    )


def test_all_subnetworks_of_a_linear_network_average_to_its_evaluation():
    """E f(x; d) = f(x; E d) where f is affine in each gate: a chain of linear blocks."""
    blocks = nn.Sequential(*(sd.blocks.Residual(nn.Linear(3, 3)) for _ in range(4))).double()
    x = torch.randn(2, 3, dtype=torch.float64)
    p = torch.tensor([0.9, 0.3, 0.6, 1.0], dtype=torch.float64)
    for rescale in ("train", "test"):
        model = copy.deepcopy(blocks)
        handle = sd.apply(model, p, rescale=rescale)
        value = 1 / p if rescale == "train" else torch.ones_like(p)
        mean = torch.zeros_like(x)
        for pattern in ALL_GATES[4].double():
            weight = torch.where(pattern > 0, p, 1 - p).prod()
            with sd.gating(model, pattern * value):
                mean = mean + weight * model(x)
        assert (mean - model.eval()(x)).abs().max() < 1e-12
        assert len(handle.blocks) == 4


class TwoFactors(torch.nn.Module):
    """Multiplies its input by 1 + a, then by 1 + b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        self.a.weight.data.fill_(a)
        self.b.weight.data.fill_(b)

    def forward(self, x):
        x = x + self.a(x)
        return x + self.b(x)


@pytest.mark.parametrize(("scale", "biased"), [("block", 0), ("branch", 1)])
@pytest.mark.parametrize(("a", "b", "p"), [(1.0, 1.0, 0.5), (0.3, -2.0, 0.8), (2.0, 0.7, 0.1)])
def test_the_mean_of_a_block_of_two_branches(scale, biased, a, b, p):
    """With d = 1/p or 0: 1 + a + b + ab for the whole change, ab (1-p)/p more for each branch.

    For a = b = 1 and p = 1/2 that is 4, and 5.
    """
    model = torch.nn.Sequential(TwoFactors(a, b)).double()
    x = torch.ones(1, 1, dtype=torch.float64)
    sd.apply(model, torch.tensor([p]), scale=scale, example=x)
    with sd.gating(model, torch.tensor([1 / p], dtype=torch.float64)):
        running = model(x)
    with sd.gating(model, torch.zeros(1, dtype=torch.float64)):
        dropped = model(x)
    mean = p * running + (1 - p) * dropped
    assert dropped.item() == 1
    assert mean.item() == pytest.approx((1 + a) * (1 + b) + biased * a * b * (1 - p) / p)
    assert model.eval()(x).item() == pytest.approx((1 + a) * (1 + b))


@pytest.mark.parametrize("gates", [torch.ones(2), torch.ones(3, 1, 1), [1.0, 1.0, 1.0]])
def test_gates_of_another_shape_are_refused(gates):
    model = NETWORKS["timm-vit"]()
    with (
        pytest.raises(sd.InvalidArgument, match=r"gates must be a tensor \(3,\) or \(3, N\)"),
        sd.gating(model, gates),
    ):
        pass
    with pytest.raises(sd.InvalidArgument, match=r"gates must be a tensor \(3,\) or \(3, N\)"):
        sd.gated(model)(images("timm-vit"), gates)


def test_a_gated_model_tells_its_blocks_to_the_theory():
    model = sd.models.CifarResNet(8, num_classes=3, width=4).eval()
    f = sd.gated(model)
    assert [block.path for block in f.blocks] == ["blocks.0", "blocks.1", "blocks.2"]
    x, y = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    loss = torch.nn.functional.cross_entropy
    without_at = sd.theory.sensitivities(f, x, y, loss)
    assert torch.equal(without_at, sd.theory.sensitivities(f, x, y, loss, at=torch.ones(3)))
