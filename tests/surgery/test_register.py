"""Blocks that users describe."""

import copy

import pytest
import torch
from torch import nn

import stochastic_depth as sd
from stochastic_depth.surgery.translation import _declared

WIDTH = 4


class Clipped(nn.Module):
    """Looks at the values of a tensor, so that its forward cannot be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(WIDTH, WIDTH)

    def branch(self, x, scale=None):
        y = self.f(x) if scale is None else self.f(x) * scale
        return y.tanh() if (y > 100).any() else y

    def forward(self, x, scale=None):
        return x + self.branch(x, scale)


class Projected(Clipped):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return torch.relu(self.project(x) + self.branch(x))


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(_declared, "_DECLARED", {})


def network(kind: type[nn.Module] = Clipped, blocks: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(kind() for _ in range(blocks))).double()


def batch(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1)).double()


def test_unregistered_it_is_no_block():
    with pytest.raises(sd.NothingToDrop, match="3 Clipped: its forward cannot be traced"):
        sd.apply(network(), sd.schedules.uniform(0.5), example=batch())


@pytest.mark.parametrize("shape", [(3,), (3, 5)])
def test_gates_multiply_the_branch(shape):
    sd.surgery.register(Clipped, Clipped.branch)
    model, x = network(), batch()
    gates = torch.tensor([2.0, 0.0, 0.0, 1.0, 3.0]).double()[torch.randint(5, shape)]
    expected = x
    for block, gate in zip(model, gates, strict=True):
        expected = expected + gate.view(-1, 1) * block.branch(expected)
    with sd.gating(model, gates):
        assert (model(x) - expected).abs().max() < 1e-12


def test_arguments_with_a_row_per_sample_follow_the_survivors():
    sd.surgery.register(Clipped, Clipped.branch)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Clipped()

        def forward(self, x):
            return self.block(x, x[:, :1])

    model, x = Scaled().double(), batch()
    gates = torch.tensor([[0.0, 1.0, 0.0, 2.0, 1.0]]).double()
    expected = x + gates[0, :, None] * model.block.f(x) * x[:, :1]
    with sd.gating(model, gates):
        assert (model(x) - expected).abs().max() < 1e-12


def test_a_projection_is_protected_and_may_be_dropped_to():
    parts = {
        "shortcut": lambda block, x: block.project(x),
        "activation": lambda block, total: torch.relu(total),
    }
    sd.surgery.register(Projected, Projected.branch, **parts)
    model, x = network(Projected, 1), batch()
    (block,) = sd.find_blocks(model)
    assert block.reason == "its shortcut is a projection"
    with sd.gating(model, torch.zeros(1)):
        assert torch.equal(model(x), torch.relu(model[0].project(x)))


def test_what_computes_something_else_is_protected():
    sd.surgery.register(Clipped, lambda block, x: 2 * block.f(x))
    (block, *_) = sd.find_blocks(network())
    assert block.reason == "it does not compute what was registered for its class"


def test_only_the_class_itself_is_registered():
    sd.surgery.register(Clipped, Clipped.branch)
    assert len(sd.find_blocks(nn.Sequential(network(blocks=2), network(Projected, 2)))) == 2


def test_it_trains_is_copied_and_cut():
    sd.surgery.register(Clipped, Clipped.branch)
    model, x = network(), batch()
    sd.apply(model, sd.schedules.uniform(0.5), dropped_grads="zero")
    twin = copy.deepcopy(model)
    twin(x).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    part = sd.extract(model, torch.tensor([1.0, 0.0, 1.0]))
    with sd.gating(model, torch.tensor([1.0, 0.0, 1.0])):
        assert torch.equal(part(x), model(x))
    assert not list(part[1].parameters())


def test_another_process_must_register_too():
    sd.surgery.register(Clipped, Clipped.branch)
    model = network()
    sd.apply(model, sd.schedules.uniform(0.5))
    _declared._DECLARED.clear()
    with (
        sd.gating(model, torch.zeros(3)),
        pytest.raises(sd.Unsupported, match="Clipped must be registered in this process"),
    ):
        model(batch())


def test_a_class_is_asked_for():
    with pytest.raises(sd.InvalidArgument, match="kind must be a class of modules"):
        sd.surgery.register(Clipped(), Clipped.branch)
