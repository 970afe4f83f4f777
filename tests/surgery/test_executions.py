"""Mask, skip and gather, and the independent reference of a hook on each branch."""

import copy
import functools

import pytest
import torch
import torchvision
from torch import Tensor, nn

import stochastic_depth as sd

from .networks import NETWORKS, difference, gradients, images

TOLERANCE = 1e-12

LAST_OF_BRANCH = {
    "torchvision-resnet": ("bn3",),
    "torchvision-vit": ("self_attention", "mlp"),
    "timm-resnet": ("bn2",),
    "timm-vit": ("ls1", "ls2"),
    "timm-eva": ("attn", "mlp"),
    "own-cifar": ("branch",),
    "own-vanilla": ("branch",),
}
"""What a block adds to its shortcut, as read in the source of each model."""


def shared_gates(length: int) -> Tensor:
    gates = torch.tensor([1.0, 0.0, 1.7, 0.0, 0.4], dtype=torch.float64)
    return gates.repeat(-(-length // 5))[:length]


def sample_gates(length: int, batch_size: int) -> Tensor:
    noise = torch.Generator().manual_seed(3)
    values = torch.tensor([0.0, 0.0, 1.0, 1.25], dtype=torch.float64)
    gates = values[torch.randint(4, (length, batch_size), generator=noise)]
    gates[-1] = 0.0
    return gates


def run(
    model: nn.Module, x: Tensor, gates: Tensor, scale: str = "branch"
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return output and gradients, of the input as well, each branch scaled by its gate."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    handle = sd.apply(model, sd.schedules.uniform(0.5), transitions="drop", scale=scale)
    with sd.gating(model, gates):
        output = model(x)
        output.square().sum().backward()
    handle.remove()
    return output.detach(), {**gradients(model), "x": x.grad}


def run_with_hooks(
    name: str, model: nn.Module, x: Tensor, gates: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Do the same with every branch computed, and its output multiplied by a hook."""
    hooks = []
    for block, gate in zip(sd.find_blocks(model), gates, strict=True):

        def multiply(_: nn.Module, __: object, output: Tensor, gate: Tensor = gate) -> Tensor:
            if isinstance(output, tuple):  # attention returns its weights, too
                return output[0] * gate.reshape(-1, 1, 1), output[1]
            return (
                output * gate.reshape(-1, *[1] * (output.ndim - 1)) if gate.ndim else output * gate
            )

        for child in LAST_OF_BRANCH[name]:
            module = model.get_submodule(block.path).get_submodule(child)
            hooks.append(module.register_forward_hook(multiply))
    model.zero_grad()
    x = x.clone().requires_grad_()
    output = model(x)
    output.square().sum().backward()
    for hook in hooks:
        hook.remove()
    return output.detach(), {**gradients(model), "x": x.grad}


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", LAST_OF_BRANCH)
def test_executions_agree_with_each_other_and_with_hooks(name, per_sample):
    model = NETWORKS[name]()
    x = images(name)
    length = len(sd.find_blocks(model))
    gates = sample_gates(length, len(x)) if per_sample else shared_gates(length)
    assert (gates == 0).any()

    output, grads = run_with_hooks(name, model, x, gates)
    for form in (gates, gates.clone().requires_grad_()):  # skip or gather, and mask
        ours, our_grads = run(model, x, form)
        assert (ours - output).abs().max() < TOLERANCE
        assert difference(our_grads, grads) < TOLERANCE * 1000


@pytest.mark.parametrize("name", NETWORKS)
def test_open_gates_run_the_original_forward_to_the_bit(name):
    model = NETWORKS[name]()
    x = images(name)
    expected = model(x)
    with sd.gating(model, torch.ones(len(sd.find_blocks(model)))):
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_a_dropped_branch_runs(name):
    model = NETWORKS[name]()
    x = images(name)
    blocks = sd.find_blocks(model)
    gates = torch.ones(len(blocks))
    gates[1] = 0
    calls = []
    with sd.gating(model, gates):
        for module in model.get_submodule(blocks[1].path).modules():
            if not list(module.children()):
                module.register_forward_hook(lambda *_: calls.append(1))
        model(x)
        assert not calls
    model(x)
    assert calls


@pytest.mark.parametrize("name", ["torchvision-resnet", "timm-resnet", "own-cifar"])
def test_running_statistics_of_a_dropped_block_do_not_move(name):
    model = NETWORKS[name]().train()
    blocks = sd.find_blocks(model)
    gates = torch.ones(len(blocks))
    gates[1] = 0
    before = copy.deepcopy(model.state_dict())
    with sd.gating(model, gates):
        model(images(name))
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert not any(key.startswith(f"{blocks[1].path}.") for key in moved)
    for block in blocks:
        if block.index != 1:
            assert any(key.startswith(f"{block.path}.") for key in moved)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("name", ["torchvision-vit", "timm-vit", "timm-eva"])
def test_a_gate_scales_the_whole_change_of_a_block(name, per_sample):
    """S(x) + d (B(x) - S(x)): a block whose shortcut is the identity goes from x to B(x)."""
    model = NETWORKS[name]()
    x = images(name)
    blocks = sd.find_blocks(model)
    gates = sample_gates(3, len(x)) if per_sample else shared_gates(3)
    actual = [run(model, x, form, "block") for form in (gates, gates.clone().requires_grad_())]

    def blend(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, gate: Tensor) -> Tensor:
        return inputs[0] + gate.reshape(-1, 1, 1) * (output - inputs[0])

    for block, gate in zip(blocks, gates, strict=True):
        hook = functools.partial(blend, gate=gate)
        model.get_submodule(block.path).register_forward_hook(hook)
    model.zero_grad()
    x = x.clone().requires_grad_()
    expected = model(x)
    expected.square().sum().backward()
    for output, grads in actual:
        assert (output - expected).abs().max() < TOLERANCE
        assert difference(grads, {**gradients(model), "x": x.grad}) < TOLERANCE * 1000


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("scale", ["block", "branch"])
@pytest.mark.parametrize("name", ["torchvision-vit", "timm-vit", "own-vanilla"])
def test_nan_in_a_dropped_branch_does_not_leak(name, scale, per_sample):
    model = NETWORKS[name]()
    x = images(name)
    blocks = sd.find_blocks(model)
    gates = torch.ones(len(blocks), len(x)) if per_sample else torch.ones(len(blocks))
    gates[1] = 0
    expected, _ = run(model, x, gates, scale)
    for parameter in model.get_submodule(blocks[1].path).parameters():
        parameter.data.fill_(float("nan"))
    for form in (gates, gates.clone().requires_grad_()):
        output, grads = run(model, x, form, scale)
        assert torch.equal(output, expected) or (output - expected).abs().max() < TOLERANCE
        outside = [g for k, g in grads.items() if not k.startswith(f"{blocks[1].path}.")]
        assert all(g.isfinite().all() for g in outside)


def test_a_dropped_transition_runs_its_shortcut_only():
    model = NETWORKS["torchvision-resnet"]()
    x = images("torchvision-resnet")
    block = model.layer2[0]
    gates = torch.ones(6)
    gates[3] = 0
    seen = {}
    block.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], y=output))
    with sd.gating(model, gates):
        model(x)
    assert torch.equal(seen["y"], block.downsample(seen["x"]).relu())


def test_gates_per_sample_need_one_row_per_sample():
    model = NETWORKS["timm-vit"]()
    with (
        sd.gating(model, sample_gates(3, 4)),
        pytest.raises(sd.Unsupported, match="must be the 4 samples of the batch"),
    ):
        model(images("timm-vit", batch_size=5))


def projecting() -> tuple[nn.Module, Tensor]:
    """Return a network whose projections may be dropped, and gates of every other sample."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=3)
    sd.apply(model, sd.schedules.uniform(0.5), per="sample", transitions="drop")
    gates = torch.ones(8, 4)
    gates[:, 1::2] = 0
    return model, gates


def test_normalisation_on_a_shortcut_counts_a_gathered_batch_once():
    model, gates = projecting()
    with sd.gating(model.train(), gates):
        model(torch.randn(4, 3, 64, 64))
    counted = {
        name: int(norm.num_batches_tracked)
        for name, norm in model.named_modules()
        if isinstance(norm, torch.nn.BatchNorm2d)
    }
    assert set(counted.values()) == {1}, counted


def test_a_projection_runs_once_beside_a_gathered_branch():
    model, gates = projecting()
    block, seen = model.layer2[0], {"projection": [], "branch": []}
    block.downsample[0].register_forward_hook(lambda _, x, y: seen["projection"].append(len(y)))
    block.conv2.register_forward_hook(lambda _, x, y: seen["branch"].append(len(y)))
    with sd.gating(model.train(), gates):
        model(torch.randn(4, 3, 64, 64))
    assert seen == {"projection": [4], "branch": [2]}
