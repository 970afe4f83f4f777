"""Under the gates that a library drew for its own masks we compute what it computes."""

import copy

import pytest
import torch
from torch import Tensor, nn

import stochastic_depth as sd
from stochastic_depth.surgery.following import masks

from .networks import MASKED, difference, gradients, images

TOLERANCE = 1e-12


def train_masks_only(model: nn.Module) -> list[nn.Module]:
    """Put the masks alone in training mode, so that nothing else is random."""
    masks = [m for m in model.modules() if type(m).__name__ in ("DropPath", "StochasticDepth")]
    for mask in masks:
        mask.train()
    return masks


def record_gates(model: nn.Module) -> list[Tensor]:
    """Collect, while `model` runs, the factor by which each mask multiplies each sample."""
    drawn: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        before, after = inputs[0].flatten(1), output.flatten(1)
        largest = before.abs().argmax(1, keepdim=True)
        drawn.append((after.gather(1, largest) / before.gather(1, largest))[:, 0].detach())

    for mask in train_masks_only(model):
        mask.register_forward_hook(note)
    return drawn


@pytest.mark.parametrize("execution", ["gather", "mask"])
@pytest.mark.parametrize("name", MASKED)
def test_skipping_computes_what_the_masks_compute(name, execution):
    theirs = MASKED[name](0.6)
    ours = copy.deepcopy(theirs)
    handle = sd.apply(ours, granularity="branch", per="sample", execution=execution)
    x = images(name)

    drawn = record_gates(theirs)
    expected = theirs(x)
    expected.square().sum().backward()

    gates = torch.ones(len(handle.blocks), len(x), dtype=torch.float64)
    for index, row in zip(gate_of_each_mask(theirs, handle), drawn, strict=True):
        gates[index] = row
    # Otherwise this would compare nothing with nothing.
    assert (gates == 0).any()
    assert (gates > 1).any()
    if execution == "mask":
        gates.requires_grad_()
    with sd.gating(ours, gates):
        actual = ours(x)
    actual.square().sum().backward()

    assert (actual - expected).abs().max() < TOLERANCE
    assert difference(gradients(ours), gradients(theirs)) < TOLERANCE * 100


def gate_of_each_mask(model: nn.Module, handle: sd.surgery.Handle) -> list[int]:
    """Return the index of the gate for every mask call, in the order of the calls.

    Blocks run in the order of their gates, and so do the branches of a block: a block
    whose mask module is shared by its branches, as torchvision's Swin, calls it for each.
    """
    masked = {
        path.rpartition(".")[0]
        for path, module in model.named_modules()
        if type(module).__name__ in ("DropPath", "StochasticDepth")
    }
    return [block.index for block in handle.blocks if block.path in masked]


@pytest.mark.parametrize("name", MASKED)
def test_the_drop_rates_of_the_model_are_taken_over_once(name):
    model = MASKED[name](0.6)
    theirs = {
        path.rpartition(".")[0]: getattr(module, "drop_prob", getattr(module, "p", None))
        for path, module in model.named_modules()
        if type(module).__name__ in ("DropPath", "StochasticDepth")
    }
    handle = sd.apply(model, per="sample")
    for block in handle.blocks:
        expected = 1 - theirs.get(block.path, 0.0) if block.droppable else 1.0
        assert handle.survival[block.index] == pytest.approx(expected, abs=1e-12)
    assert sum(p < 1 for p in handle.survival.tolist()) >= 2
    assert list(masks(model)) == []


def test_masks_of_one_block_with_different_rates_need_a_gate_each():
    model = MASKED["timm-vit"](0.3)
    model.blocks[2].drop_path1.drop_prob = 0.5
    with pytest.raises(sd.InvalidArgument, match="one drop rate for all masks of blocks.2"):
        sd.apply(model)
    handle = sd.apply(model, per="sample", granularity="branch")
    assert handle.survival[-2:].tolist() == pytest.approx([0.5, 0.7])


@pytest.mark.parametrize("name", MASKED)
def test_samples_are_not_silently_given_up_for_batches(name):
    with pytest.warns(UserWarning, match="to drop blocks for each sample .* Pass per='sample'"):
        assert "per='batch'" in repr(sd.apply(MASKED[name](0.6)))
    sd.apply(MASKED[name](0.6), per="batch")  # said, and not warned of
    sd.apply(MASKED[name](0.6), sd.schedules.linear(0.5))  # no rate is taken over


def test_masks_that_drop_for_the_batch_are_taken_over_without_a_word():
    model = MASKED["torchvision-swin"](0.6)
    for module in model.modules():
        if type(module).__name__ == "StochasticDepth":
            module.mode = "batch"
    sd.apply(model)


def test_without_masks_a_schedule_is_asked_for():
    with pytest.raises(sd.InvalidArgument, match="survival must be given for a model built with"):
        sd.apply(MASKED["timm-vit"](0.0))


def test_removal_gives_the_masks_back():
    model = MASKED["timm-vit"](0.6)
    rates = list(masks(model))
    assert rates
    sd.apply(model, per="batch").remove()
    assert list(masks(model)) == rates
