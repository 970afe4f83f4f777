"""The plan: what will drop, what never does and why, and what it saves."""

import json

import pytest
import torch
import torchvision
from torch import nn

import stochastic_depth as sd

from .networks import NETWORKS, images


def test_the_table_of_seed_003():
    shown = sd.plan(torchvision.models.resnet50(), sd.schedules.linear(0.8, rule="linspace"))
    lines = str(shown).splitlines()
    assert len(shown.blocks) == 16
    protected = [block.index for block in shown.blocks if not block.droppable]
    assert protected == [0, 3, 7, 13]
    assert {block.reason for block in shown.blocks if block.index in protected} == {
        "its shortcut is a projection"
    }
    for block, keep in {0: 1.0, 3: 0.96, 5: 0.933, 8: 0.893, 11: 0.853, 13: 0.827, 15: 0.8}.items():
        assert f"{keep:.3f}" in lines[1 + block]
        assert float(shown.survival[block]) == pytest.approx(
            1.0 if block in protected else keep, abs=5e-4
        )
    assert shown.expected_blocks == pytest.approx(14.7067, abs=1e-4)
    assert "expected blocks 14.71 of 16 (schedule alone 14.40)" in lines
    assert "16 blocks, 12 droppable, 4 protected" in str(shown)


def test_costs_are_counted_by_hand():
    model = NETWORKS["torchvision-resnet"]()
    shown = sd.plan(model, sd.schedules.uniform(0.5), example=images("torchvision-resnet", 1))
    # Bottleneck of width 8 on 8x8 pixels, 256 channels in and out: twice the
    # multiplications of 1x1, 3x3 and 1x1 convolutions.
    width = model.layer1[1].conv2.out_channels
    by_hand = 2 * 8 * 8 * (256 * width + 9 * width * width + width * 256)
    assert shown.blocks[1].cost == by_hand
    # The first of the second stage halves the resolution in its middle convolution.
    wide = model.layer2[0].conv2.out_channels
    by_hand = 2 * (64 * 256 * wide + 16 * 9 * wide * wide + 16 * wide * 512)
    assert shown.blocks[3].cost == by_hand
    assert 0 < shown.network_share < 1
    assert "of all operations of the model" in str(shown)


def test_attention_is_counted_whether_fused_or_not():
    shares = [
        sd.plan(
            NETWORKS[name](),
            sd.schedules.uniform(0.5),
            granularity="branch",
            example=images(name, 1),
        ).cost_share[0]
        for name in ("torchvision-vit", "timm-vit")
    ]
    tokens, width, hidden = 5, 16, 32
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    by_hand = attention / (attention + 2 * tokens * width * hidden) / 3
    assert float(shares[0]) == pytest.approx(by_hand, rel=1e-9)
    by_hand = attention / (attention + 2 * tokens * width * 4 * width) / 3
    assert float(shares[1]) == pytest.approx(by_hand, rel=1e-9)


def test_shares_and_savings_add_up():
    model = NETWORKS["own-cifar"]()
    shown = sd.plan(model, sd.schedules.linear(0.4), example=images("own-cifar"))
    costs = torch.tensor([block.cost for block in shown.blocks], dtype=torch.float64)
    assert float(shown.cost_share.sum()) == pytest.approx(1, abs=1e-12)
    assert shown.live_share == pytest.approx(float(costs @ shown.survival / costs.sum()), abs=1e-12)
    assert float(shown.saving.sum()) == pytest.approx(1 - shown.live_share, abs=1e-12)


def test_a_plan_is_what_apply_does():
    for arguments in ({"survival": sd.schedules.linear(0.6)}, {"budget": 0.8}):
        model = NETWORKS["timm-resnet"]()
        planned = sd.plan(model, **arguments)
        handle = sd.apply(model, **arguments)
        assert planned.blocks == handle.blocks
        assert torch.equal(planned.survival, handle.survival)
        done = sd.plan(model)
        assert torch.equal(done.survival, handle.survival)
        assert done.expected_blocks == planned.expected_blocks


def test_the_plan_of_a_model_with_stochastic_depth_is_its_own():
    model = NETWORKS["timm-resnet"]()
    handle = sd.apply(model, sd.schedules.uniform(0.6))
    handle.survival = torch.full((6,), 0.9)
    assert sd.plan(model).survival.max() == 1
    assert sd.plan(model).survival.min() == pytest.approx(0.9)
    with pytest.raises(sd.InvalidArgument, match="survival must be left out for a model that has"):
        sd.plan(model, sd.schedules.uniform(0.6))


def test_branches_are_named():
    text = str(sd.plan(NETWORKS["timm-vit"](), sd.schedules.uniform(0.5), granularity="branch"))
    assert "blocks.2 [attn]" in text
    assert "VisionTransformer: 6 branches, 6 droppable, 0 protected" in text
    assert "live share 0.500 by number of branches" in text


def test_it_can_be_written_as_json():
    shown = sd.plan(NETWORKS["torchvision-resnet"](), sd.schedules.linear(0.5))
    record = json.loads(json.dumps(shown.to_dict()))
    assert [block["survival"] for block in record["blocks"]] == shown.survival.tolist()
    assert record["blocks"][0]["reason"] == "its shortcut is a projection"
    assert record["expected_blocks"] == shown.expected_blocks


def test_nothing_to_drop_is_said():
    with pytest.raises(
        sd.NothingToDrop,
        match="looked at all of its modules, none of which adds a branch to its input",
    ):
        sd.plan(nn.Linear(2, 2), sd.schedules.uniform(0.5))


class Normalised(nn.Module):
    """A block whose branch counts no operations."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return x + self.norm(x)


def test_blocks_that_count_no_operations_weigh_the_same():
    model = nn.Sequential(nn.Linear(4, 4), Normalised(), Normalised())
    shown = sd.plan(model, sd.schedules.fixed([0.2, 0.6]), example=torch.randn(3, 4))
    assert [block.cost for block in shown.blocks] == [0, 0]
    assert shown.cost_share.tolist() == [0.5, 0.5]
    assert shown.live_share == pytest.approx(0.4)
    assert "live share 0.400" in str(shown)


def test_probabilities_for_a_model_that_has_gates_are_refused_whatever_they_are():
    model = NETWORKS["own-vanilla"]()
    sd.apply(model, sd.schedules.uniform(0.6))
    for survival in (torch.full((4,), 0.5), [0.5] * 4):
        with pytest.raises(sd.InvalidArgument, match="survival must be left out for a model"):
            sd.plan(model, survival)
