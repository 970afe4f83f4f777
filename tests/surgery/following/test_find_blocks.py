"""Which modules are blocks, and which are not."""

import pytest
import timm
import torch
import torchvision
from torch import nn

import stochastic_depth as sd
from stochastic_depth.surgery.following import survey

from ..networks import NETWORKS, images

PATHS = {
    "torchvision-resnet": [f"layer{s}.{i}" for s in (1, 2) for i in range(3)],
    "torchvision-vit": [f"encoder.layers.encoder_layer_{i}" for i in range(3)],
    "torchvision-swin": ["features.1.0", "features.1.1", "features.3.0", "features.3.1"],
    "timm-resnet": ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer4.0"],
    "timm-vit": [f"blocks.{i}" for i in range(3)],
    "timm-eva": [f"blocks.{i}" for i in range(3)],
    "own-cifar": [f"blocks.{i}" for i in range(9)],
    "own-vanilla": [f"blocks.{i}" for i in range(4)],
}

PROTECTED = {
    "torchvision-resnet": ["layer1.0", "layer2.0"],
    "timm-resnet": ["layer3.0"],
}
"""Blocks with a projection; timm's second and fourth stage keep the width here, and
halve the resolution by a projection all the same."""


@pytest.mark.parametrize("name", NETWORKS)
def test_the_blocks_are_those_of_the_source_code(name):
    blocks = sd.find_blocks(NETWORKS[name]())
    assert [block.path for block in blocks] == PATHS[name]
    assert [block.index for block in blocks] == list(range(len(blocks)))
    assert {block.cost for block in blocks} == {1.0}


@pytest.mark.parametrize("name", ["torchvision-resnet", "timm-resnet"])
def test_protected_are_the_blocks_with_a_downsample_module(name):
    model = NETWORKS[name]()
    for block in sd.find_blocks(model):
        has_projection = model.get_submodule(block.path).downsample is not None
        assert block.droppable == (not has_projection)
        assert block.reason == ("its shortcut is a projection" if has_projection else "")


CATALOGUE = {
    "resnet18": (torchvision.models.resnet18, 8, 5),
    "resnet50": (torchvision.models.resnet50, 16, 12),
    "timm-resnet18": (lambda: timm.create_model("resnet18"), 8, 5),
    "timm-resnet26d": (lambda: timm.create_model("resnet26d"), 8, 4),
    "timm-vit": (lambda: timm.create_model("vit_tiny_patch16_224", depth=6), 6, 6),
    "timm-deit": (lambda: timm.create_model("deit_tiny_patch16_224", depth=3), 3, 3),
}


@pytest.mark.parametrize(("build", "blocks", "droppable"), CATALOGUE.values(), ids=CATALOGUE)
def test_models_of_the_catalogues(build, blocks, droppable):
    found = sd.find_blocks(build())
    assert (len(found), sum(block.droppable for block in found)) == (blocks, droppable)


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Tanh())

    def forward(self, x):
        return self.layers(x)


class Block(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.mlp = Mlp(width)

    def forward(self, x):
        return x + self.mlp(x)


class Outer(nn.Module):
    """Adds its input to the output of a chain of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Block(), Block())

    def forward(self, x):
        return x + self.inner(x)


class TwoMaps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Mlp(4), Mlp(4)

    def forward(self, x):
        return self.a(x) + self.b(x)


def test_without_drop_sites_the_innermost_block_counts():
    found = survey(nn.Sequential(nn.Linear(4, 4), Outer()))
    assert [unit.path for unit in found.units] == ["1.inner.0", "1.inner.1"]
    assert ("1", "Outer", "it contains blocks") in {
        (o.path, o.kind, o.reason) for o in found.others
    }


def test_a_sum_of_learned_maps_is_no_block():
    found = survey(nn.Sequential(nn.Linear(4, 4), TwoMaps(), Block()))
    assert [unit.path for unit in found.units] == ["2"]
    reasons = {other.path: other.reason for other in found.others}
    assert reasons["1"] == "it adds up learned maps, without a shortcut"


@pytest.mark.filterwarnings("ignore:Every trainable block was dropped")
def test_a_model_may_be_a_block_itself():
    block = Block()
    handle = sd.apply(block, torch.tensor([0.5]), rescale="test")
    assert [str(b) for b in handle.blocks] == ["(the model)"]
    x = torch.randn(3, 4)
    for _ in range(10):
        output = block(x)
        assert torch.equal(output, x) == (handle.gates[0] == 0)
    handle.remove()
    assert type(block) is Block


def test_own_and_foreign_blocks_with_sites_are_found_together():
    vit = NETWORKS["timm-vit"]()
    own = sd.blocks.Residual(nn.Linear(16, 16))
    vit.norm = nn.Sequential(own.double(), vit.norm)
    found = sd.find_blocks(vit)
    assert [block.path for block in found] == ["blocks.0", "blocks.1", "blocks.2", "norm.0"]


def test_blocks_are_numbered_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = Block(), Block()
            self.stem = nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.first(self.stem(x)))

    assert [block.path for block in sd.find_blocks(Backwards())] == ["first", "last"]


def test_a_block_that_the_model_does_not_call_is_none():
    model = NETWORKS["timm-vit"]()
    model.spare = NETWORKS["timm-vit"]().blocks[0]
    found = survey(model)
    assert len(found.units) == 3
    assert [(o.path, o.reason) for o in found.others] == [("spare", "the model does not call it")]


def test_a_replaced_forward_is_not_erased():
    model = NETWORKS["timm-vit"]()
    own = model.blocks[1].forward
    model.blocks[1].forward = lambda x, **_: x
    assert [block.path for block in sd.find_blocks(model)] == ["blocks.0", "blocks.2"]
    model.blocks[1].forward = lambda x, **kwargs: own(x, **kwargs)
    found = sd.find_blocks(model)
    assert [block.droppable for block in found] == [True, False, True]
    assert found[1].reason == "its forward was replaced on the instance"
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    assert handle.survival.tolist() == [0.5, 1, 0.5]
    with (
        pytest.raises(sd.Unsupported, match="must be 1, because its forward was replaced"),
        sd.gating(model, torch.zeros(3)),
    ):
        pass


def test_nothing_is_tried_during_training():
    model = NETWORKS["timm-vit"]().train()
    handle = sd.apply(model, sd.schedules.uniform(0.5), seed=1)
    heard = []
    model.blocks[1].mlp.register_forward_hook(lambda *_: heard.append(1))
    ran = 0
    for _ in range(20):
        model(images("timm-vit"))
        ran += int(handle.gates[1] != 0)
    assert len(heard) == ran


def test_who_listens_to_a_block_does_not_hear_what_is_tried():
    model, x = NETWORKS["timm-vit"]().train(), images("timm-vit")
    heard = []
    model.blocks[1].mlp.register_forward_hook(lambda *_: heard.append(1))
    sd.apply(model, sd.schedules.uniform(0.5), rescale="none", example=x)
    before = len(heard)
    mask = torch.zeros(5, 5, dtype=torch.float64)
    with sd.gating(model, torch.tensor([1.0, 0.5, 1.0])):
        model.blocks[1](torch.randn(2, 5, 16).double(), attn_mask=mask)  # a call of a new pattern
    assert len(heard) == before + 1
    assert before <= 3  # the model on its example, at two sizes, and to count operations


def test_an_example_is_asked_for_where_none_can_be_guessed():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)
            self.block = Block()

        def forward(self, tokens, scale):
            return self.block(scale * self.embedding(tokens))

    model = Tokens()
    with pytest.raises(sd.Unsupported, match=r"Tokens must run on an example.*Pass example="):
        sd.find_blocks(model)
    example = (torch.tensor([[1, 2, 3]]), torch.tensor(2.0))
    assert [block.path for block in sd.find_blocks(model, example=example)] == ["block"]
    with pytest.raises(IndexError, match="index out of range"):
        sd.find_blocks(model, example=(torch.tensor([[11]]), torch.tensor(2.0)))


def test_models_of_vectors_and_of_other_channels_are_guessed():
    assert len(sd.find_blocks(nn.Sequential(nn.Linear(7, 4), Block()))) == 1
    conv = nn.Sequential(nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Block())
    assert len(sd.find_blocks(conv)) == 1
    assert len(sd.find_blocks(nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 4), Block()))) == 1


def test_an_example_without_content_is_replaced_by_noise():
    model = NETWORKS["torchvision-resnet"]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.bias)
    x = images("torchvision-resnet", 2)
    units = survey(model, torch.zeros_like(x)).units
    assert units[1].shortcut.identity  # a ReLU behind a ReLU; zeros could not have shown it


def test_a_model_with_stochastic_depth_shows_the_blocks_it_has_it_on():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(0.5), granularity="branch")
    assert sd.find_blocks(model) == handle.blocks
    with pytest.raises(sd.AlreadyApplied, match="already has stochastic depth"):
        sd.find_blocks(nn.Sequential(model))


@pytest.mark.parametrize("argument", ["granularity", "transitions"])
def test_bad_arguments(argument):
    with pytest.raises(sd.InvalidArgument, match=f"{argument} must be one of"):
        sd.find_blocks(NETWORKS["own-vanilla"](), **{argument: "blocks"})
