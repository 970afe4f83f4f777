"""The handle: looking at stochastic depth, changing it, saving it."""

import copy

import pytest
import torch
from torch import nn

import stochastic_depth as sd

from .networks import NETWORKS, images


@pytest.fixture
def model():
    return NETWORKS["torchvision-resnet"]().train()


@pytest.fixture
def handle(model):
    return sd.apply(model, sd.schedules.linear(0.5), seed=7)


def test_a_resumed_run_draws_the_gates_of_the_uninterrupted_one(model, handle):
    x = images("torchvision-resnet")
    for _ in range(2):
        model(x)
    state = handle.state_dict()
    expected = []
    for _ in range(4):
        model(x)
        expected.append(handle.gates)
    fresh = NETWORKS["torchvision-resnet"]().train()
    resumed = sd.apply(fresh, sd.schedules.uniform(0.9))
    resumed.load_state_dict(state)
    for gates in expected:
        fresh(x)
        assert torch.equal(resumed.gates, gates)
    assert (resumed.seed, resumed.step) == (7, 6)


def test_a_curriculum_moves_the_probabilities_but_not_of_protected_blocks(model, handle):
    curriculum = sd.curricula.warmup(handle.survival, until=0.5)
    handle.survival = curriculum(0.0)
    assert handle.survival.tolist() == [1] * 6
    handle.survival = torch.full((6,), 0.3)
    assert handle.survival.tolist() == pytest.approx([1, 0.3, 0.3, 1, 0.3, 0.3])
    assert isinstance(handle.law, sd.gates.Bernoulli)


def test_a_law_may_be_put_in_place_of_another(model, handle):
    law = sd.gates.FixedDepth([1, 0.5, 0.5, 1, 0.5, 0.5], rescale="test")
    handle.law = law
    for _ in range(5):
        model(images("torchvision-resnet"))
        assert handle.gates.sum() == 4
    handle.survival = torch.full((6,), 0.75)
    assert isinstance(handle.law, sd.gates.FixedDepth)
    assert handle.law.rescale == "test"
    model.eval()
    with sd.gating(model, handle.law.evaluation):
        expected = model(images("torchvision-resnet"))
    assert torch.equal(model(images("torchvision-resnet")), expected)


def test_a_deterministic_law_has_no_probabilities_to_set(handle):
    handle.law = sd.gates.Deterministic([1, 0, 1, 1, 0, 1])
    with pytest.raises(sd.Unsupported, match="set handle.law instead"):
        handle.survival = [0.5] * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: setattr(h, "step", -1), "step must be at least 0"),
        (lambda h: setattr(h, "survival", [0.5]), "survival must be a vector of 6 entries"),
        (lambda h: setattr(h, "survival", [2.0] * 6), r"survival\[0\] must be in \[0, 1\]"),
        (lambda h: setattr(h, "law", sd.gates.Bernoulli([0.5])), "law must be of 6 blocks"),
        (lambda h: h.load_state_dict({"step": 3}), "no law, per, seed"),
    ],
)
def test_bad_changes_change_nothing(handle, change, message):
    before = handle.state_dict()
    with pytest.raises(sd.InvalidArgument, match=message):
        change(handle)
    after = handle.state_dict()
    survival = [state.pop("law")["survival"] for state in (before, after)]
    assert torch.equal(*survival)
    assert before == after


def test_a_half_bad_state_changes_nothing(handle):
    before = handle.survival
    law = {**handle.law.state(), "survival": torch.tensor([1, 0.9, 0.9, 1, 0.9, 0.9]).double()}
    short = {**law, "survival": torch.tensor([0.1])}
    for bad in ({"step": -1}, {"seed": -1}, {"law": short}, {"per": "sample"}):
        with pytest.raises(sd.InvalidArgument, match="must be"):
            handle.load_state_dict({**handle.state_dict(), "law": law, **bad})
        assert torch.equal(handle.survival, before)
        assert (handle.seed, handle.step) == (7, 0)


def test_a_state_of_subsets_in_other_multiples_is_refused():
    def handle(**options):
        return sd.apply(NETWORKS["timm-vit"](), sd.schedules.uniform(0.6), seed=1, **options)

    eight = handle(per="subset", multiple=8)
    eight.load_state_dict({**eight.state_dict(), "step": 5})
    assert eight.step == 5
    with pytest.raises(sd.InvalidArgument, match="state must be of gates with multiple=8; got 1"):
        eight.load_state_dict(handle(per="subset").state_dict())
    assert "per='subset', multiple=8, step=5)" in repr(eight)


def test_the_handle_of_a_model_is_found_again(model, handle):
    model(images("torchvision-resnet"))
    again = sd.surgery.handle(model)
    assert again.step == 1
    assert again.blocks == handle.blocks
    with pytest.raises(sd.InvalidArgument, match="Put it on with stochastic_depth.apply"):
        sd.surgery.handle(NETWORKS["timm-vit"]())


def test_it_says_what_it_is(handle):
    assert repr(handle) == (
        "Handle(ResNet, 6 blocks, 4 droppable, Bernoulli(6 blocks, survival 0.50..1.00 "
        "(drop 0.00..0.50), rescale='train'), per='batch', step=0)"
    )


def test_removal_after_another_wrapper_is_refused(model, handle):
    model.layer1[1].__class__ = type("Wrapped", (type(model.layer1[1]),), {})
    with pytest.raises(sd.Unsupported, match="Wrapped was wrapped after stochastic depth"):
        handle.remove()
    assert handle.step == 0


def test_a_copy_can_have_a_seed_of_its_own(model, handle):
    x = images("torchvision-resnet")
    teacher = copy.deepcopy(model)
    other = sd.surgery.handle(teacher)
    model(x), teacher(x)
    assert torch.equal(handle.gates, other.gates)
    other.seed = 8
    seen = []
    for _ in range(8):
        model(x), teacher(x)
        seen.append(torch.equal(handle.gates, other.gates))
        generator = sd.gates.stream(8, other.step - 1)
        assert torch.equal(other.gates, other.law.sample(generator=generator))
    assert not all(seen)
    assert handle.seed == 7


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_bad_seed_changes_nothing(handle, seed):
    with pytest.raises(sd.InvalidArgument, match="seed must be"):
        handle.seed = seed
    assert handle.seed == 7


def test_two_models_with_gates_in_one():
    both = nn.ModuleDict({"a": sd.models.CifarResNet(8, 2), "b": sd.models.CifarResNet(8, 2)})
    for model in both.values():
        sd.apply(model, sd.schedules.uniform(0.5))
    with pytest.raises(sd.Unsupported, match=r"this ModuleDict holds 2 that have it \(a, b\)"):
        sd.surgery.handle(both)
