"""Random programs against running everything, and what such programs have found, kind by kind."""

import pytest
import torch
from torch import Tensor, nn

import stochastic_depth as sd
from benchmarks.purity import attempt


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_random_programs_are_equal_to_running_everything_or_refused_by_apply(first):
    records = [attempt(seed) for seed in range(first, first + 10)]
    wrong = [
        (record["seed"], trial["why"])
        for record in records
        for trial in record.get("trials", [])
        if trial["outcome"] in ("different", "crash", "late")
    ]
    assert wrong == []


class Model(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Linear(4, 4), nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x


def gated(model: nn.Module, gates: list, **options) -> tuple[Tensor, Tensor]:
    """Return the stream behind the stem and the output under the gates of one step."""
    x = torch.randn(3, 4)
    law = sd.gates.Deterministic(torch.tensor(gates))
    sd.apply(model, law, example=x, transitions="protect", **options)
    return model.stem(x), model(x)


class Parallel(nn.Module):
    """x + a(x) + b(x): the second addition has a sum on one side, and more layers there."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.a = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
        self.b = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        n = self.norm(x)
        return x + self.a(n) + self.b(n)


def test_the_stream_of_parallel_branches_is_not_taken_for_a_branch():
    h, output = gated(Model(Parallel()), [0.0])
    torch.testing.assert_close(output, h)


def test_a_norm_of_two_branches_runs_when_one_of_them_is_dropped():
    block = Parallel()
    h, output = gated(Model(block), [0.0, 1.0], granularity="branch")
    torch.testing.assert_close(output, h + block.b(block.norm(h)))


class Keeps(nn.Module):
    """Keeps its input, cut off from the graph, and an auxiliary term of its branch."""

    def __init__(self, auxiliary: bool) -> None:
        super().__init__()
        self.f, self.auxiliary = nn.Linear(4, 4), auxiliary

    def forward(self, x: Tensor) -> Tensor:
        self.last = x.detach()
        h = self.f(x)
        if self.auxiliary:
            self.aux = h.square().mean()
        return x + h


def test_a_detached_copy_does_not_take_the_place_of_the_input():
    h, output = gated(Model(Keeps(False)), [0.0])
    torch.testing.assert_close(output, h)
    assert output.requires_grad


def test_a_gate_scales_what_is_added_and_no_auxiliary_term():
    block = Keeps(True)
    model = Model(block, Keeps(False))
    h, output = gated(model, [2.0, 0.0])
    torch.testing.assert_close(output, h + 2 * block.f(h))
    torch.testing.assert_close(block.aux, block.f(h).square().mean())


class Writes(nn.Module):
    """Changes what a child returns in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        h.mul_(0.5)
        x = x + self.b(h)
        return x + self.c(x)


def test_a_stand_in_that_is_changed_in_place_is_not_the_stream():
    block = Writes()
    h, output = gated(Model(block), [0.0, 1.0], granularity="branch")
    torch.testing.assert_close(output, h + block.c(h))


def test_blocks_may_share_a_child():
    first, second = Writes(), Writes()
    second.a = first.a
    h, output = gated(Model(first, second), [0.0, 1.0])
    torch.testing.assert_close(output, second(h))


class Scaled(nn.Module):
    """The shortcut is multiplied by a number of the configuration."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.f, self.config, self.after = nn.Linear(4, 4), {"gain": 0.5}, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x * self.config["gain"] + self.f(x))


# A normalization hides the number but for its epsilon.
@pytest.mark.parametrize("after", [nn.Identity(), nn.LayerNorm(4)])
def test_a_number_on_the_shortcut_is_not_frozen(after):
    block = Scaled(after)
    model = Model(block)
    x = torch.randn(3, 4)
    sd.apply(model, sd.gates.Deterministic(torch.zeros(1)), example=x)
    block.config["gain"] = 1e-4
    torch.testing.assert_close(model(x), after(1e-4 * model.stem(x)))


class Rectified(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.a(x)
        return torch.relu(x + self.b(x))


def test_a_relu_is_kept_where_gates_make_the_stream_negative():
    model = Model(Rectified(), Rectified(), Rectified())
    _, output = gated(model, [1.0, 3.0, 0.0])
    assert (output >= 0).all()
