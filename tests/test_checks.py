"""What is no number, no vector and no network is refused by name, whatever it looks like."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch

import stochastic_depth as sd
from stochastic_depth._checks import LARGEST, given

NO_NUMBERS = [
    None, True, "0.5", b"1", 1j, float("nan"), 10**400, 10**5000, [], {}, {0.5}, object(),
    np.bool_(True), np.array([0.5]), np.complex128(0.5 + 1j), torch.tensor([0.5]),
    torch.tensor(True), torch.tensor(0.5 + 1j), torch.tensor(0.5, device="meta"),
]  # fmt: skip

NO_VECTORS = [
    None, 0.5, "0.5", b"\x01", bytearray(b"\x01"), {0.5}, frozenset({0.5}), {0.5: 1}, [], [None],
    ["0.5"], [True], [1j], [10**5000], [[0.5]], itertools.repeat(0.5), np.full((2, 2), 0.5),
    np.array([True]), np.array(["0.5"]), np.array([0.5 + 1j]), torch.tensor(0.5), torch.zeros(0),
    torch.full((2, 2), 0.5), torch.tensor([True]), torch.tensor([0.5 + 1j]),
    torch.tensor([0.5], device="meta"), torch.tensor([0.5]).to_sparse(),
]  # fmt: skip


def kind(value):
    shown, _, _ = given(value).partition(" at 0x")  # names are the same in every process
    return f"{type(value).__name__} {shown[:30]}"


@pytest.mark.parametrize("value", NO_NUMBERS, ids=kind)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("p", sd.schedules.uniform),
        ("exponent", lambda value: sd.schedules.power(0.5, value)),
        ("budget", lambda value: sd.budgets.project([0.5, 0.5], value)),
        ("num_blocks", sd.schedules.uniform(0.5)),
        ("seed", lambda value: sd.gates.stream(value, 0)),
    ],
)
def test_what_is_no_number(field, make, value):
    with pytest.raises(sd.InvalidArgument, match=rf"^{field} must be .*; got .*\."):
        make(value)


@pytest.mark.parametrize("value", NO_VECTORS, ids=kind)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("survival", sd.gates.Bernoulli),
        ("gates", sd.gates.Deterministic),
        ("p", sd.budgets.expected_depth),
        ("costs", lambda value: sd.budgets.active_share([0.5], value or [])),
    ],
)
def test_what_is_no_vector(field, make, value):
    if field == "costs" and value is None:
        pytest.skip("without costs all blocks cost the same")
    if field == "costs" and (not isinstance(value, (list, dict)) or not value):
        make = lambda value: sd.budgets.active_share([0.5], value)  # noqa: E731
    with pytest.raises(sd.InvalidArgument, match=rf"^{field}.* must be .*; got .*\."):
        make(value)


@pytest.mark.parametrize(
    "value", [0.5, Fraction(1, 2), np.float32(0.5), np.array(0.5), torch.tensor(0.5)], ids=kind
)
def test_numbers_of_every_library(value):
    assert sd.schedules.uniform(value).p == 0.5


@pytest.mark.parametrize(
    "values", [[0.5], (0.5,), np.array([0.5]), torch.tensor([0.5]), (p for p in [0.5])], ids=kind
)
def test_vectors_of_every_library(values):
    assert sd.gates.Bernoulli(values).survival.tolist() == [0.5]


@pytest.mark.parametrize(
    "call",
    [
        sd.apply,
        sd.plan,
        sd.find_blocks,
        sd.gated,
        lambda model: sd.extract(model, torch.ones(3)),
        lambda model: sd.gating(model, torch.ones(3)).__enter__(),
        sd.surgery.handle,
    ],
)
@pytest.mark.parametrize("model", [None, 3, "model", torch.nn.Linear], ids=kind)
def test_what_is_no_network(call, model):
    with pytest.raises(sd.InvalidArgument, match=r"^model must be a torch\.nn\.Module; got"):
        call(model)


def test_counts_have_a_largest():
    with pytest.raises(
        sd.InvalidArgument, match=rf"width must be at most {LARGEST}; got 2147483648"
    ):
        sd.models.VanillaResNet(1, 2**31, 1, 1)
    with pytest.raises(sd.InvalidArgument, match="num_blocks must be at most 1000000; got 1000001"):
        sd.schedules.uniform(0.5)(10**6 + 1)


def test_no_draw_from_the_global_generator():
    law = sd.gates.Bernoulli([0.5])
    for draw in (law.sample, sd.gates.Deterministic([1.0]).sample):
        with pytest.raises(sd.InvalidArgument, match="generator must be a torch.Generator"):
            draw(generator=None)
    with pytest.raises(sd.InvalidArgument, match="generator must be a torch.Generator"):
        law.sample_subset(2, generator=None)


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Unprintable(), "a value of type Unprintable"),
        (10**5000, "a whole number of about 5001 digits"),
        ([10**5000], "a value of type list"),
        ("x" * 1000, "'" + "x" * 199 + "..."),
        (torch.zeros(2, 3), "a tensor of shape (2, 3), torch.float32 on cpu"),
    ],
    ids=["unprintable", "integer", "list", "text", "tensor"],
)
def test_a_message_shows_any_value_in_short(value, said):
    assert given(value) == said


def test_a_family_that_jumps_over_the_budget_by_more_than_the_promised_accuracy():
    def jumps(by):
        return lambda t: sd.schedules.uniform(0.5 if t < 0.5 else 0.5 + by)

    with pytest.raises(sd.InfeasibleBudget, match="must be met to 1e-06; this family jumps"):
        sd.budgets.fit(jumps(4e-6), 3, 0.500002)
    assert sd.budgets.fit(jumps(1e-6), 3, 0.5000005).p == pytest.approx(0.500001, abs=1e-12)


def test_negative_gates_are_of_blocks_that_run():
    law = sd.gates.Deterministic([-0.5, 0.0, 2.0])
    assert law.survival.tolist() == [1, 0, 1]
    assert law.sample(2, generator=sd.gates.stream(0, 0)).tolist() == [[-0.5] * 2, [0] * 2, [2] * 2]
