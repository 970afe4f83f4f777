"""Blocks of every shape people write, gated as if by hand, or named with the reason."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import stochastic_depth as sd
from stochastic_depth.surgery.following import survey

WIDTH = 4


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.g = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.rand(WIDTH) + 0.5)


class Plain(Base):
    def forward(self, x):
        return x + self.f(x)


class ShortcutFirst(Base):
    def forward(self, x):
        y = self.f(x)
        y += x
        return y


class FunctionalAdd(Base):
    def forward(self, x):
        return torch.add(self.f(x), x)


class TwoBranches(Base):
    def forward(self, x):
        x = x + self.f(x)
        return x + self.scale * self.g(x)


class PreActivation(Base):
    """Shortcut and branch share what happens before."""

    def forward(self, x):
        x = self.f(x)
        return x + self.g(x)


class PostNorm(Base):
    def forward(self, x):
        return functional.layer_norm(x + self.f(x), (WIDTH,))


class Conditioned(Base):
    """Takes a second input for each sample."""

    def forward(self, x, condition, shift=0.0):
        return x + self.f(x + condition) + shift * condition


class KeywordOnly(Base):
    def forward(self, x, *, mask=None):
        y = self.f(x)
        if mask is not None:
            y = y * mask
        return x + y


class InContainer(Base):
    def forward(self, x, pair):
        return x + self.f(x) * pair[0] + pair[1]


class ReturnsTuple(Base):
    def forward(self, x):
        return x + self.f(x), x.shape[0]


class Sizes(Base):
    """Uses the batch size within the branch and outside of it."""

    def forward(self, x):
        n, d = x.shape
        y = self.f(x.reshape(n, d // 2, 2).reshape(n, d))
        return (x + y.reshape(n, d)).reshape(n, d)


class Nested(Base):
    """An addition within the branch belongs to the branch."""

    def forward(self, x):
        y = self.f(x)
        return x + self.g(y + self.f(y))


class DropsOut(Base):
    def forward(self, x):
        return x + functional.dropout(self.f(x), 0.5, self.training)


class Wrapped(Base):
    """Calls a method of its own."""

    def forward(self, x):
        return self._add(x, self.f(x))

    def _add(self, x, y):
        return x + y


class InPlaceAfter(Base):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(x + self.f(x))


class InPlaceMethod(Base):
    def forward(self, x):
        y = self.f(x)
        y = y + x
        return y.relu_()


BLOCKS = [
    Plain, ShortcutFirst, FunctionalAdd, TwoBranches, PreActivation, PostNorm, ReturnsTuple,
    Sizes, Nested, DropsOut, Wrapped, InPlaceAfter, InPlaceMethod,
]  # fmt: skip


def batch(seed: int = 0) -> torch.Tensor:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(5, WIDTH, generator=noise, dtype=torch.float64)


def first(output):
    return output[0] if isinstance(output, tuple) else output


def by_hand(block: Base, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """Write out each block with a gate on its branches."""
    d = gate.reshape(-1, 1)
    if isinstance(block, TwoBranches):  # the whole change is scaled
        y = x + block.f(x)
        return x + d * (y + block.scale * block.g(y) - x)
    if isinstance(block, PreActivation):
        return block.f(x) + d * block.g(block.f(x))
    if isinstance(block, Nested):
        return x + d * block.g(block.f(x) + block.f(block.f(x)))
    y = x + d * block.f(x)
    if isinstance(block, PostNorm):
        return functional.layer_norm(y, (WIDTH,))
    return y.relu() if isinstance(block, InPlaceAfter | InPlaceMethod) else y


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize(
    "gate", [0.0, 0.3, 1.0, [0.0, 1.0, 0.0, 2.0, 0.5]], ids=["off", "scaled", "on", "rows"]
)
def test_a_gate_on_any_block_is_the_gate_written_by_hand(kind, gate):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), kind()).double().eval()
    gates = torch.tensor(gate, dtype=torch.float64)
    x = batch()
    expected = by_hand(model[1], model[0](x), gates)
    for form in (gates[None], gates[None].clone().requires_grad_()):
        with sd.gating(model, form):
            assert (first(model(x)) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_input_of_a_dropped_block_is_left_as_it_is(kind):
    block = kind().double()
    x = batch()
    before = x.clone()
    stem = nn.Identity()
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH).double(), stem, block)
    seen = []
    stem.register_forward_hook(lambda _, inputs, output: seen.append((output, output.clone())))
    with sd.gating(model, torch.zeros(1)):
        first(model(x.requires_grad_())).sum().backward()
    assert torch.equal(x, before)
    assert torch.equal(*seen[-1])


class With(nn.Module):
    """Calls a block with further arguments."""

    def __init__(self, block: nn.Module, *args, **kwargs) -> None:
        super().__init__()
        self.stem, self.block = nn.Linear(WIDTH, WIDTH), block
        self.args, self.kwargs = args, kwargs

    def forward(self, x):
        return self.block(self.stem(x), *self.args, **self.kwargs)


class Paired(Base):
    """Takes its second input from the first, as decoders take what encoders return."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x):
        return self.block(self.g(x), *self.further(x))


class WithCondition(Paired):
    def further(self, x):
        return x, 2.0


class WithPair(Paired):
    def further(self, x):
        return ((x, x.sin()),)


GATES = ([0.5], [[0.5, 0.0, 0.0, 0.5, 0.0]], [[2.0, 0.0, 1.0, 0.5, 0.0]])


@pytest.mark.parametrize("gate", GATES)
def test_further_inputs_go_with_their_samples(gate):
    model, x = WithCondition(Conditioned()).double().eval(), batch()
    gates = torch.tensor(gate, dtype=torch.float64)
    h, d = model.g(x), gates.reshape(-1, 1)
    expected = h + d * model.block.f(h + x) + 2.0 * x
    with sd.gating(model, gates):
        assert (model(x) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("gate", [[0.0], *GATES])
def test_a_tensor_within_an_argument_is_found(gate):
    model, x = WithPair(InContainer()).double().eval(), batch()
    gates = torch.tensor(gate, dtype=torch.float64)
    h, d = model.g(x), gates.reshape(-1, 1)
    expected = h + d * model.block.f(h) * x + x.sin()
    with sd.gating(model, gates):
        assert (model(x) - expected).abs().max() < 1e-12


def test_another_pattern_of_call_is_looked_at_anew():
    model, x, mask = With(KeywordOnly()).double().eval(), batch(), batch(1)
    h = model.stem(x)
    f = sd.gated(model, example=x)
    for kwargs, factor in (({}, 1.0), ({"mask": mask}, mask), ({"mask": None}, 1.0)):
        f._twin.kwargs = kwargs
        for gate in (0.0, 0.5):
            expected = h + gate * model.block.f(h) * factor
            actual = f(x, torch.tensor([gate], dtype=torch.float64))
            assert (actual - expected).abs().max() < 1e-12


class Switched(Base):
    """Changes its code path with an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.doubled = False

    def forward(self, x):
        y = self.f(x)
        return x + (2 * y if self.doubled else y)


def test_attributes_are_never_frozen():
    model = nn.Sequential(Switched(), nn.Linear(WIDTH, 1)).double()
    x = batch()
    sd.apply(model, torch.tensor([0.5]), rescale="test", example=x)
    block = model[0]
    for doubled in (False, True, False):
        block.doubled = doubled
        expected = x + 0.5 * (2 if doubled else 1) * block.f(x)
        assert (model.eval()(x) - model[1](expected)).abs().max() < 1e-12


class Mode(Base):
    """Changes its code path with the mode."""

    def forward(self, x):
        return x + (self.g(x) if self.training else self.f(x))


def test_training_mode_is_never_frozen():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Mode()).double()
    h = model[0](batch())
    for training, branch in ((True, model[1].g), (False, model[1].f)):
        model.train(training)
        with sd.gating(model, torch.tensor([0.5], dtype=torch.float64)):
            assert (model(batch()) - (h + 0.5 * branch(h))).abs().max() < 1e-12


def test_a_functional_dropout_sees_the_numbers_it_would_have_seen():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), DropsOut()).double().train()
    torch.manual_seed(1)
    expected = model(batch())
    torch.manual_seed(1)
    with sd.gating(model, torch.ones(1, requires_grad=True)):
        assert (model(batch()) - expected).abs().max() < 1e-12


class LooksAtItsInput(Base):
    def forward(self, x):
        return x + (self.f(x) if x.sum() > 0 else self.g(x))


class UsedTwice(Base):
    def forward(self, x):
        y = self.f(x)
        return x + y, y


class InPlaceBefore(Base):
    """Changes its stream in place, and adds the branch to what it has become."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return x + self.f(self.relu(x))


class ReadsContainer(Base):
    def forward(self, x):
        parts = torch.split(x, 2, dim=1)
        return x + self.f(torch.cat(parts, 1)), parts


class WithoutGradient(Base):
    def forward(self, x):
        with torch.no_grad():
            y = self.f(x)
        return x + y


class Writes(Base):
    """Counts its calls, and keeps the mean of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.mean = x.detach().mean()
        return x + self.f(x)


class Scales(Base):
    """LayerScale in place."""

    def forward(self, x):
        return x + self.g(x).mul_(self.scale)


class Spelled(Base):
    def forward(self, x):
        y = self.g(x)
        y.add_(x)
        return y.add(self.f(y), alpha=0.5)


@pytest.mark.parametrize("gate", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("kind", "branch"),
    [
        (LooksAtItsInput, lambda b, x: b.f(x) if x.sum() > 0 else b.g(x)),
        (UsedTwice, lambda b, x: b.f(x)),
        (ReadsContainer, lambda b, x: b.f(x)),
        (WithoutGradient, lambda b, x: b.f(x).detach()),
        (Writes, lambda b, x: b.f(x)),
        (Scales, lambda b, x: b.g(x) * b.scale),
        (Spelled, lambda b, x: b.g(x) + 0.5 * b.f(x + b.g(x))),
    ],
)
def test_what_no_trace_could_follow_runs_its_own_forward(kind, branch, gate):
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), kind()).double(), batch()
    gates = torch.tensor([gate], dtype=torch.float64)
    h = model[0](x)
    expected = h + gate * branch(model[1], h)
    expected.square().sum().backward()
    theirs = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    with sd.gating(model, gates):
        actual = first(model(x))
    actual.square().sum().backward()
    assert (actual - expected).abs().max() < 1e-12
    for name, parameter in model.named_parameters():
        mine, other = parameter.grad, theirs[name]
        assert (mine is None or not mine.any()) if other is None else True
        if mine is not None and other is not None:
            assert (mine - other).abs().max() < 1e-12


def test_a_product_of_the_branch_is_made_although_it_is_dropped():
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), UsedTwice()).double(), batch()
    shown = sd.plan(model, torch.tensor([0.5]), example=x)
    assert shown.blocks[0].masked == "it returns something that its branch computes"
    assert "droppable, but runs: it returns something that its branch computes" in str(shown)
    h = model[0](x)
    with sd.gating(model, torch.zeros(1)):
        stream, product = model(x)
    assert torch.equal(stream, h)
    assert torch.equal(product, model[1].f(h))


def test_what_a_block_writes_it_writes_when_it_runs():
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), Writes()).double(), batch()
    handle = sd.apply(model, torch.tensor([0.5]), example=x, seed=3)
    assert model[1].calls == 0
    assert not hasattr(model[1], "mean")
    ran = 0
    for _ in range(20):
        model(x)
        ran += int(handle.gates[0] != 0)
    assert model[1].calls == ran
    assert 0 < ran < 20


class NoAddition(Base):
    def forward(self, x):
        return self.f(x)


class AddsAConstant(Base):
    def forward(self, x):
        return self.f(x) + self.scale


class AddsNothingLearned(Base):
    def forward(self, x):
        return x + x.tanh()


class Broadcasts(Base):
    def forward(self, x):
        return x + self.f(x).mean(0, keepdim=True)


@pytest.mark.parametrize("kind", [NoAddition, AddsAConstant, AddsNothingLearned, Broadcasts])
def test_other_additions_are_not_residual(kind):
    assert (
        sd.find_blocks(nn.Sequential(nn.Linear(WIDTH, WIDTH), kind()), example=batch().float())
        == ()
    )


class Masked(Base):
    """Has a drop site, at a place to be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_path = nn.Identity()


class NormAfterMask(Masked):
    def forward(self, x):
        return x + functional.layer_norm(self.drop_path(self.f(x)), (WIDTH,))


class MaskOnShortcut(Masked):
    def forward(self, x):
        return self.drop_path(x) + self.f(x)


class MaskWithoutShortcut(Masked):
    def forward(self, x):
        return self.drop_path(self.f(x))


class MaskOfNothing(Masked):
    def forward(self, x):
        y = self.f(x)
        self.drop_path(x)
        return y + x


class MaskNeverCalled(Masked):
    def forward(self, x):
        return self.f(x)


class MaskTwice(Masked):
    """One mask module for two branches, one of them scaled after the mask."""

    def forward(self, x):
        x = x + self.scale * self.drop_path(self.f(x))
        return x + self.drop_path(self.g(x))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (MaskOnShortcut, "its mask is not on a residual branch"),
        (MaskWithoutShortcut, "its mask removes the whole signal: it has no shortcut"),
        (MaskOfNothing, "its mask has no effect on what it computes"),
        (MaskNeverCalled, "it has no residual addition"),
    ],
)
def test_masks_with_another_meaning_are_named(kind, reason):
    found = survey(nn.Sequential(MaskTwice(), kind()), batch().float())
    assert [unit.path for unit in found.units] == ["0"]
    assert ("1", reason) in [(other.path, other.reason) for other in found.others]


def test_a_mask_before_a_norm_is_no_place_for_a_gate():
    """Dropped, its mask leaves the bias of the norm; the branch is what is added."""
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), NormAfterMask()).double(), batch()
    h = model[0](x)
    branch = functional.layer_norm(model[1].f(h), (WIDTH,))
    for gate in (0.0, 0.5):
        with sd.gating(model, torch.tensor([gate], dtype=torch.float64)):
            assert (model(x) - (h + gate * branch)).abs().max() < 1e-12


def test_a_mask_may_serve_two_branches():
    (unit,) = survey(MaskTwice(), batch().float()).units
    assert [branch.sites for branch in unit.branches] == [("drop_path",), ("drop_path",)]
    assert [branch.label for branch in unit.branches] == ["f", "g"]


def test_branches_that_start_at_zero_are_looked_at_with_other_weights():
    model = nn.Sequential(TwoBranches()).double()
    for parameter in model.parameters():
        parameter.data.zero_()
    (unit,) = survey(model, batch()).units
    assert len(unit.branches) == 2
    assert unit.shortcut.identity
    assert not any(parameter.any() for parameter in model.parameters())


def test_what_is_known_of_a_block_is_found_anew_in_another_process():
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), TwoBranches()).double(), batch()
    handle = sd.apply(model, torch.tensor([0.5]), example=x, rescale="none")
    with sd.gating(model, torch.tensor([0.0])):
        expected = model(x)
    twin = pickle.loads(pickle.dumps(model))
    with sd.gating(twin, torch.tensor([0.0])):
        assert torch.equal(twin(x), expected)
    assert sd.surgery.handle(twin).blocks == handle.blocks
