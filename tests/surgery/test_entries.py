"""Whatever a user calls, wraps or copies of a gated model keeps its gates, or says so."""

import accelerate
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

import stochastic_depth as sd

from .networks import timm_resnet, timm_vit, torchvision_resnet


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class ParentLoop(nn.Module):
    """Layers that their parent adds, and calls by another method, too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x).mean(1)

    def encode(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x) + x
        return x


def test_layers_that_a_parent_adds_in_a_loop_have_a_gate_each():
    torch.manual_seed(0)
    model = ParentLoop()
    handle = sd.apply(model, [0.5] * 4)
    assert [block.path for block in handle.blocks] == [f"layers.{n}" for n in range(4)]
    x = torch.randn(3, 4)
    model.eval()
    with sd.gating(model, torch.tensor([0.0, 2.0, 0.0, 1.0])):
        y = model(x)
    h = model.stem(x)
    h = h + 2 * model.layers[1](h)
    torch.testing.assert_close(y, (h + model.layers[3](h)).mean(1))


def test_a_method_beside_forward_draws_gates_too():
    model = ParentLoop()
    handle = sd.apply(model, [0.5] * 4, seed=5)
    model.train().encode(torch.randn(2, 4))
    drawn = sd.gates.draw(handle.law, "batch", None, generator=sd.gates.stream(5, 0))
    assert torch.equal(handle.gates, drawn)


def test_one_module_called_three_times_has_three_gates():
    torch.manual_seed(0)
    block = Block()
    model = nn.Sequential(block, block, block)
    handle = sd.apply(model, [0.5] * 3)
    assert [(b.path, b.use) for b in handle.blocks] == [("0", 0), ("0", 1), ("0", 2)]
    x = torch.randn(2, 8)
    model.eval()
    with sd.gating(model, torch.tensor([1.0, 0.0, 3.0])):
        y = model(x)
    h = x + block.f(x)
    torch.testing.assert_close(y, h + 3 * block.f(h))


SPELLINGS = {
    "method": lambda x, y: x.add(y),
    "in place": lambda x, y: y.add_(x),
    "alpha": lambda x, y: torch.add(x, y, alpha=0.5),
    "minus": lambda x, y: x - (-y),
    "sum": lambda x, y: sum([x, y]),
    "constant": lambda x, y: x + y * torch.tensor(2.0),
    "dtype": lambda x, y: x + (y.clamp(-1, 1) if y.dtype == torch.float16 else y),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_addition_is_found_however_it_is_spelled(spelling):
    class Spelled(Block):
        def forward(self, x: Tensor) -> Tensor:
            return SPELLINGS[spelling](x, self.f(x))

    torch.manual_seed(0)
    model = nn.Sequential(Spelled(), Spelled()).eval()
    sd.apply(model, [0.5] * 2)
    x = torch.randn(2, 8)
    with sd.gating(model, torch.tensor([0.0, 1.0])):
        torch.testing.assert_close(model(x), model[1](x))


# Tools


def test_an_extractor_of_features_draws_gates():
    model = torchvision.models.resnet18(num_classes=3)
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    features = create_feature_extractor(model, {"layer4": "out"}).train()
    x = torch.randn(2, 3, 32, 32)
    sums = {round(features(x)["out"].detach().sum().item(), 3) for _ in range(8)}
    assert len(sums) > 1
    assert getattr(features.layer1, "0") is model.layer1[0]
    assert handle.blocks


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.parametrize("build", [torchvision_resnet, timm_resnet, lambda: nn.Sequential(Block())])
def test_torchscript_is_refused_with_what_to_do(build):
    model = build()
    sd.apply(model, sd.schedules.uniform(0.5))
    with pytest.raises(sd.Unsupported, match=r"Script stochastic_depth\.extract"):
        torch.jit.script(model)


def test_unwrapping_by_accelerate_leaves_the_gates_on():
    model = nn.Sequential(nn.Linear(8, 8), Block(), Block())
    handle = sd.apply(model, [0.5] * 2, seed=3)
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    prepared = accelerator.prepare(model)
    prepared.train()(torch.randn(2, 8))
    bare = accelerator.unwrap_model(prepared, keep_fp32_wrapper=False).train()
    assert handle.step == 1
    bare(torch.randn(2, 8))
    assert handle.step == 2


@pytest.mark.parametrize("name", ["forward_features", "forward_intermediates"])
def test_features_of_timm_are_those_of_its_forward(name):
    model = timm_vit()
    handle = sd.apply(model, [0.5] * 3, seed=2)
    x = torch.randn(2, 3, 16, 16).double()
    model.train()
    output = getattr(model, name)(x)
    found = output[0] if isinstance(output, tuple) else output
    with sd.gating(model, handle.gates):
        torch.testing.assert_close(found, model.forward_features(x))


def test_a_forward_that_is_patched_later_is_the_one_that_runs():
    class Patched(Block):
        pass

    torch.manual_seed(0)
    model = nn.Sequential(Patched(), Patched())
    sd.apply(model, [0.5] * 2)
    Patched.forward = lambda self, x: x + 10 * self.f(x)
    x = torch.randn(2, 8)
    model.eval()
    with sd.gating(model, torch.ones(2)):
        one = model(x)
    with sd.gating(model, torch.full((2,), 0.999999)):
        torch.testing.assert_close(model(x), one, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_layers_of_torch_are_found(norm_first):
    layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    handle = sd.apply(model, sd.schedules.uniform(0.5), example=torch.randn(2, 5, 16))
    assert [block.path for block in handle.blocks] == [f"layers.{n}" for n in range(3)]
    x = torch.randn(2, 5, 16)
    with sd.gating(model, torch.tensor([0.0, 1.0, 1.0])):
        y = model(x)
    expected = x if norm_first else model.layers[0].norm2(model.layers[0].norm1(x))
    for layer in model.layers[1:]:
        expected = layer(expected)
    torch.testing.assert_close(y, expected)


def test_what_follows_in_place_does_not_reach_what_a_block_was_given():
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), Block(), nn.ReLU(inplace=True))
    sd.apply(model, [0.5], example=torch.randn(2, 8))
    with sd.gating(model, torch.zeros(1)):
        model.train()(torch.randn(3, 8)).sum().backward()  # Sigmoid needs its own output


def test_the_output_of_a_fully_dropped_model_is_not_its_input():
    model = nn.Sequential(Block(), Block())
    sd.apply(model, [0.5] * 2)
    x = torch.zeros(2, 8)
    with torch.no_grad(), sd.gating(model, torch.zeros(2)):
        model.train()(x).add_(1)
    assert float(x.sum()) == 0


def test_a_detector_runs_its_backbone_under_gates_per_sample():
    detector = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    model = detector(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96)
    images = [torch.rand(3, 64, 64), torch.rand(3, 64, 80)]
    box = torch.tensor([[5.0, 5.0, 40.0, 40.0]])
    targets = [{"boxes": box, "labels": torch.tensor([1])}] * 2
    handle = sd.apply(model, sd.schedules.uniform(0.5), per="sample", example=(images,))
    losses = model.train()(images, targets)
    assert handle.gates.shape[1] == 2
    sum(losses.values()).backward()
