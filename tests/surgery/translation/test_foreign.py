"""Blocks of every shape people write, followed into residual steps or refused in words."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import stochastic_depth as sd
from stochastic_depth.surgery.translation import CannotTranslate, Foreign, NotResidual
from stochastic_depth.surgery.translation._call import Call

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
    if isinstance(block, TwoBranches):
        x = x + d * block.f(x)
        return x + d * (block.scale * block.g(x))
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


def program_of(block: nn.Module, *args, **kwargs):
    translation = Foreign(type(block))
    translation.prepare(block, Call.of(args, kwargs))
    return translation


@pytest.mark.parametrize("rows", [False, True])
def test_further_inputs_go_with_their_samples(rows):
    block = Conditioned().double().eval()
    x, condition = batch(), batch(1)
    translation = program_of(block, x, condition, shift=2.0)
    gate = sd.blocks.Rows(torch.tensor([0, 3]), 0.5) if rows else 0.5
    d = torch.tensor([0.5, 0, 0, 0.5, 0], dtype=torch.float64) if rows else torch.tensor(0.5)
    actual = translation.run(block, [gate], (x, condition), {"shift": 2.0}, zero_grads=False)
    expected = x + d.reshape(-1, 1) * block.f(x + condition) + 2.0 * condition
    assert (actual - expected).abs().max() < 1e-12


def test_a_tensor_within_an_argument_is_found():
    block = InContainer().double().eval()
    x, pair = batch(), (batch(1), batch(2))
    translation = program_of(block, x, pair)
    for gate, d in ((0.0, 0.0), (0.5, 0.5)):
        actual = translation.run(block, [gate], (x, pair), {}, zero_grads=False)
        assert (actual - (x + d * block.f(x) * pair[0] + pair[1])).abs().max() < 1e-12


def test_another_pattern_of_call_is_followed_anew():
    block = KeywordOnly().double().eval()
    x, mask = batch(), batch(1)
    translation = program_of(block, x)
    assert len(translation.programs) == 1
    for kwargs, factor in (({}, 1.0), ({"mask": mask}, mask), ({"mask": None}, 1.0)):
        actual = translation.run(block, [0.5], (x,), kwargs, zero_grads=False)
        assert (actual - (x + 0.5 * block.f(x) * factor)).abs().max() < 1e-12
    assert len(translation.programs) == 2


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
        if x.sum() > 0:
            return x + self.f(x)
        return x


class UsedTwice(Base):
    def forward(self, x):
        y = self.f(x)
        return x + y, y


class InPlaceBefore(Base):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return x + self.f(self.relu(x))


class ReadsContainer(Base):
    def forward(self, x):
        parts = torch.split(x, 2, dim=1)
        return x + self.f(torch.cat(parts, 1)), parts


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (LooksAtItsInput, "cannot be traced .its control flow depends on the values of a tensor"),
        (UsedTwice, "the output of its branch, f, is used elsewhere too"),
        (ReadsContainer, "its branch reads split, which holds several values"),
        (InPlaceBefore, "its branch changes its own input in place, at relu"),
    ],
)
def test_what_cannot_be_followed_says_why(kind, reason):
    block = kind().double()
    with pytest.raises(CannotTranslate, match=reason):
        program_of(block, batch().abs())


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
    with pytest.raises(NotResidual, match="it has no residual addition"):
        program_of(kind().double(), batch())


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


def test_masks_with_another_meaning_are_refused():
    with pytest.raises(CannotTranslate, match="masking its drop sites is something else"):
        program_of(NormAfterMask().double(), batch())
    with pytest.raises(CannotTranslate, match="its mask is not on a residual branch"):
        program_of(MaskOnShortcut().double(), batch())
    with pytest.raises(CannotTranslate, match="its mask removes the whole signal"):
        program_of(MaskWithoutShortcut().double(), batch())
    with pytest.raises(CannotTranslate, match="its mask has no effect on what it computes"):
        program_of(MaskOfNothing().double(), batch())
    with pytest.raises(NotResidual, match="it has no residual addition"):
        program_of(MaskNeverCalled().double(), batch())


def test_a_mask_may_serve_two_branches():
    program, _ = program_of(MaskTwice().double(), batch()).single()
    assert [step.branch.sites for step in program.steps] == [("drop_path",), ("drop_path",)]
    assert [step.branch.label for step in program.steps] == ["f", "g"]
    assert program.steps[0].branch.parameters == ("scale",)


def test_a_zero_initialised_branch_is_checked_on_a_copy_that_is_not():
    blocks = TwoBranches().double(), NormAfterMask().double()
    for parameter in [p for block in blocks for p in block.parameters()]:
        parameter.data.zero_()
    program, _ = program_of(blocks[0], batch()).single()
    assert len(program.steps) == 2
    assert not any(parameter.any() for parameter in blocks[0].parameters())
    with pytest.raises(CannotTranslate, match="masking its drop sites is something else"):
        program_of(blocks[1], batch())


def test_blocks_of_one_structure_share_their_functions():
    first_program, _ = program_of(TwoBranches().double(), batch()).single()
    second_program, _ = program_of(TwoBranches().double(), batch()).single()
    assert first_program.main.function is second_program.main.function
    functions = [[s.code.function for s in p.steps] for p in (first_program, second_program)]
    assert functions[0] == functions[1]
    assert functions[0][0] is not functions[0][1]


def test_a_translation_is_pickled_without_its_functions_and_written_anew():
    block = TwoBranches().double().eval()
    x = batch()
    translation = program_of(block, x)
    copy = pickle.loads(pickle.dumps(translation))
    assert (translation.programs, copy.programs) != ({}, {})
    assert copy.programs == {}
    expected = translation.run(block, [0.5, 0.0], (x,), {}, zero_grads=False)
    assert torch.equal(copy.run(block, [0.5, 0.0], (x,), {}, zero_grads=False), expected)
    assert len(copy.programs) == 1
