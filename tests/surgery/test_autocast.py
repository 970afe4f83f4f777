"""Under autocast a dropped block is the identity and the gates are those of full precision."""

import copy

import pytest
import torch
from torch import nn

import stochastic_depth as sd

from .networks import NETWORKS, images

LOW = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])


def single(name: str) -> tuple[nn.Module, torch.Tensor]:
    return NETWORKS[name]().float(), images(name).float()


@LOW
@pytest.mark.parametrize(
    ("name", "path"), [("torchvision-resnet", "layer1.1"), ("timm-vit", "blocks.1")]
)
def test_a_dropped_block_is_as_good_as_gone(name, path, dtype):
    model, x = single(name)
    shorter = copy.deepcopy(model)
    shorter.set_submodule(path, nn.Identity())
    handle = sd.apply(model, sd.schedules.uniform(0.6), rescale="none")
    gates = torch.tensor([float(block.path != path) for block in handle.blocks])
    with torch.autocast("cpu", dtype):
        expected = shorter(x)
        with sd.gating(model, gates):
            output = model(x)
    assert output.dtype == dtype
    assert torch.equal(output, expected)


@LOW
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_training_draws_the_same_gates_and_gives_finite_gradients(per, dtype):
    drawn = []
    for enabled in (False, True):
        model, x = single("timm-vit")
        handle = sd.apply(model, sd.schedules.uniform(0.7), per=per, seed=2)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0, enabled=enabled)
        for _ in range(3):
            with torch.autocast("cpu", dtype, enabled=enabled):
                loss = model.train()(x).square().mean()
            scaler.scale(loss).backward()
            drawn.append(handle.gates)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert all(gradient.dtype == torch.float32 for gradient in gradients)
    assert all(map(torch.equal, drawn[:3], drawn[3:]))
    assert drawn[0].dtype == torch.float32


@LOW
def test_what_a_dropped_branch_would_overflow_to_does_not_leak(dtype):
    model, x = single("timm-vit")
    handle = sd.apply(model, sd.schedules.uniform(0.6))
    nn.init.constant_(model.blocks[1].mlp.fc1.bias, 1000.0)
    nn.init.constant_(model.blocks[1].mlp.fc2.weight, torch.finfo(dtype).max)
    gates = torch.ones(len(handle.blocks))
    gates[1] = 0.0
    with torch.autocast("cpu", dtype):
        with sd.gating(model.train(), gates):
            model(x).square().mean().backward()
        with sd.gating(model, torch.ones(len(gates))):
            assert not model(x).isfinite().all()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert model.blocks[1].mlp.fc1.weight.grad is None
