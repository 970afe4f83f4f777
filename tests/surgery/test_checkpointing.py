"""Activation checkpointing runs blocks again in the backward pass: under the same gates."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import stochastic_depth as sd

from .networks import NETWORKS, difference, gradients, images

REENTRANT = pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "not"])


# What reentrant checkpointing says of an evaluation without gradients.
pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True")


class Checkpointed(nn.Module):
    """Runs the blocks of a vision transformer under activation checkpointing."""

    def __init__(self, vit: nn.Module, reentrant: bool | None) -> None:
        super().__init__()
        self.vit = vit
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.vit.patch_embed(x)
        x = self.vit._pos_embed(x)
        for block in self.vit.blocks:
            if self.reentrant is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.vit.forward_head(self.vit.norm(x))


def models(reentrant: bool, **arguments: object) -> tuple[nn.Module, nn.Module]:
    """Return a model without and one with checkpointing, on the same stream of gates."""
    vit = NETWORKS["timm-vit"]()
    pair = Checkpointed(copy.deepcopy(vit), None), Checkpointed(vit, reentrant)
    for model in pair:
        example = images("timm-vit")
        sd.apply(model, sd.schedules.uniform(0.5), seed=4, example=example, **arguments)
        model.train()
    return pair


def assert_equal_gradients(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, recomputed = map(gradients, pair)
    assert max(float(g.abs().max()) for g in plain.values()) > 0
    assert difference(plain, recomputed) < 1e-12


@REENTRANT
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gradients_are_those_without_checkpointing(reentrant, per):
    pair = models(reentrant, per=per)
    for model in pair:
        for _ in range(3):
            model(images("timm-vit")).square().sum().backward()
    assert_equal_gradients(pair)
    assert [sd.surgery.handle(model).step for model in pair] == [3, 3]


@REENTRANT
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_several_forwards_before_their_backwards(reentrant, order):
    pair = models(reentrant)
    for model in pair:
        losses = [model(images("timm-vit", seed=s)).square().sum() * (s + 1) for s in range(3)]
        for index in order:
            losses[index].backward()
    assert_equal_gradients(pair)


@REENTRANT
def test_several_forwards_in_one_backward(reentrant):
    pair = models(reentrant, granularity="branch")
    for model in pair:
        losses = [model(images("timm-vit", seed=s)).square().sum() * (s + 1) for s in range(3)]
        sum(losses).backward()
    assert_equal_gradients(pair)


@REENTRANT
def test_an_evaluation_between_forward_and_backward(reentrant):
    pair = models(reentrant)
    for model in pair:
        loss = model(images("timm-vit")).square().sum()
        with torch.no_grad():
            model.eval()(images("timm-vit", seed=2))
        model.train()
        loss.backward()
    assert_equal_gradients(pair)


@REENTRANT
def test_forced_gates_are_replayed_after_the_statement(reentrant):
    pair = models(reentrant)
    for model in pair:
        model.eval()
        with sd.gating(model, torch.tensor([1.0, 0.0, 0.5])):
            loss = model(images("timm-vit")).square().sum()
        model(images("timm-vit"))
        loss.backward()
    assert_equal_gradients(pair)


def test_the_whole_model_under_checkpointing():
    plain, _ = models(False)
    recomputed = copy.deepcopy(plain)
    x = images("timm-vit")
    plain(x).square().sum().backward()
    checkpoint(recomputed, x, use_reentrant=False).square().sum().backward()
    assert_equal_gradients((plain, recomputed))
    assert sd.surgery.handle(recomputed).step == 1


def test_the_checkpointing_of_timm_itself():
    vit = NETWORKS["timm-vit"]()
    pair = copy.deepcopy(vit), vit
    vit.set_grad_checkpointing(True)
    for model in pair:
        sd.apply(model, sd.schedules.uniform(0.5), seed=4)
        model.train()
        for _ in range(2):
            model(images("timm-vit")).square().sum().backward()
    assert_equal_gradients(pair)


def test_outputs_of_any_structure_bring_the_gates_back():
    class Structured(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
            return {"logits": [self.model(x)]}

    pair = tuple(Structured(m.requires_grad_()) for m in map(unapplied, models(True)))
    for model in pair:
        sd.apply(model, sd.schedules.uniform(0.5), seed=4, example=images("timm-vit"))
        model.train()
        losses = [model(images("timm-vit", seed=s))["logits"][0].square().sum() for s in range(2)]
        for loss in losses:
            loss.backward()
    assert_equal_gradients(pair)


@REENTRANT
def test_an_output_that_hides_its_tensors_brings_back_the_last_gates(reentrant):
    class Opaque(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.model(x))

    pair = tuple(map(Opaque, map(unapplied, models(reentrant))))
    for model in pair:
        sd.apply(model, sd.schedules.uniform(0.5), seed=4, example=images("timm-vit"))
        model.train()
        for _ in range(3):
            model(images("timm-vit")).logits.square().sum().backward()
    assert_equal_gradients(pair)


def unapplied(model: nn.Module) -> nn.Module:
    sd.surgery.handle(model).remove()
    return model
