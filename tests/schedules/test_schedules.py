import math
import pickle
from math import inf, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import stochastic_depth as sd
from tests.helpers import FAMILIES, SCHEDULES, num_blocks, probability


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@given(num_blocks=num_blocks)
def test_every_schedule_gives_one_float64_probability_per_block(schedule, num_blocks):
    p = schedule(num_blocks)
    assert p.shape == (num_blocks,)
    assert p.dtype == torch.float64
    assert ((p >= 0) & (p <= 1)).all()
    assert (p.diff() <= 1e-15).all(), "survival must not rise with depth"


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("bad", [0, -3])
def test_a_network_has_at_least_one_block(schedule, bad):
    with pytest.raises(sd.InvalidArgument, match=f"num_blocks must be at least 1; got {bad}"):
        schedule(bad)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_number_of_blocks_is_an_integer(schedule):
    with pytest.raises(sd.InvalidArgument, match=r"num_blocks must be an integer; got 2\.5"):
        schedule(2.5)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("bad", [-0.1, 1.1, nan, inf, "half"])
def test_a_survival_probability_is_checked_at_birth(family, bad):
    with pytest.raises(sd.InvalidArgument, match=r"(p|last) must be .*; got"):
        family(bad)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_compare_by_value_and_survive_pickling(schedule):
    copy = pickle.loads(pickle.dumps(schedule))
    assert copy == schedule
    assert repr(copy) == repr(schedule)
    assert hash(copy) == hash(schedule)


def test_schedules_print_what_they_were_made_of():
    stages = sd.schedules.stagewise(sd.schedules.linear(0.5, rule="offset"), [3, 4])
    assert repr(stages) == (
        "stagewise(schedule=linear(last=0.5, rule='offset'), blocks_per_stage=(3, 4))"
    )


@given(last=probability, n=num_blocks)
def test_expected_depths_of_the_three_linear_rules_in_closed_form(last, n):
    for rule, factor in [("huang", n + 1), ("linspace", n if n > 1 else 0), ("offset", n - 1)]:
        depth = float(sd.schedules.linear(last, rule=rule)(n).sum())
        assert depth == pytest.approx(n - (1 - last) * factor / 2, abs=1e-9)


def test_the_three_linear_rules_on_the_published_network():
    depths = {
        rule: float(sd.schedules.linear(0.5, rule=rule)(54).sum())
        for rule in ("huang", "linspace", "offset")
    }
    assert depths == pytest.approx({"huang": 40.25, "linspace": 40.50, "offset": 40.75})


def test_linear_ends():
    huang, linspace, offset = (
        sd.schedules.linear(0.4, rule=rule)(10) for rule in ("huang", "linspace", "offset")
    )
    assert (huang[0], huang[-1]) == (pytest.approx(0.94), pytest.approx(0.4))
    assert (linspace[0], linspace[-1]) == (1.0, pytest.approx(0.4))
    assert (offset[0], offset[-1]) == (1.0, pytest.approx(0.46))


def test_linspace_is_the_keep_schedule_of_the_resnet50_backbone():
    p = sd.schedules.linear(0.8, rule="linspace")(16)
    printed = {0: 1.0, 3: 0.960, 5: 0.933, 8: 0.893, 11: 0.853, 13: 0.827, 15: 0.800}
    assert {block: round(float(p[block]), 3) for block in printed} == printed


def test_linspace_agrees_with_timm():
    timm = pytest.importorskip("timm")
    rates = timm.layers.calculate_drop_path_rates(0.3, 12)
    ours = 1 - sd.schedules.linear(0.7, rule="linspace")(12)
    assert_close(ours, torch.tensor(rates, dtype=torch.float64), atol=1e-7, rtol=0)


def test_unknown_rule_names_the_nearest():
    with pytest.raises(sd.InvalidArgument, match="rule must be one of .* Did you mean 'huang'"):
        sd.schedules.linear(0.5, rule="hunag")


@given(last=probability, n=num_blocks)
def test_power_one_is_linear(last, n):
    assert_close(sd.schedules.power(last, exponent=1)(n), sd.schedules.linear(last)(n))


@pytest.mark.parametrize("bad", [0, -1, inf, nan])
def test_the_exponent_of_power_is_positive_and_finite(bad):
    with pytest.raises(sd.InvalidArgument, match="exponent must be"):
        sd.schedules.power(0.5, exponent=bad)


def test_cosine_in_closed_form():
    assert_close(
        sd.schedules.cosine(0.5)(3), torch.tensor([0.875, 0.625, 0.5], dtype=torch.float64)
    )


def test_exponential_is_the_rule_of_layerskip():
    """D(l) = e^(l ln 2 / (L - 1)) - 1, times the largest rate."""
    expected = [1 - 0.2 * math.expm1(block * math.log(2) / 31) for block in range(32)]
    assert_close(sd.schedules.exponential(0.8)(32), torch.tensor(expected, dtype=torch.float64))
    assert sd.schedules.exponential(0.3)(1).tolist() == [1.0]


@given(st.lists(probability, min_size=1, max_size=20))
def test_fixed_returns_what_it_was_given_and_nothing_else(values):
    schedule = sd.schedules.fixed(values)
    assert schedule(len(values)).tolist() == values
    with pytest.raises(sd.InvalidArgument, match=f"num_blocks must be {len(values)}, the number"):
        schedule(len(values) + 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 1.5], r"probabilities\[1\] must be in \[0, 1\]; got 1\.5"),
        ([nan], r"probabilities\[0\] must be in \[0, 1\]; got nan"),
        ([], "one entry per block"),
        ("abc", "a vector of numbers"),
    ],
)
def test_fixed_checks_each_entry(values, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.schedules.fixed(values)


@given(stages=st.lists(st.integers(1, 6), min_size=1, max_size=5), last=probability)
def test_stagewise_repeats_the_schedule_over_the_stages(stages, last):
    inner = sd.schedules.linear(last)
    p = sd.schedules.stagewise(inner, stages)(sum(stages))
    expected = [
        value for value, size in zip(inner(len(stages)), stages, strict=True) for _ in range(size)
    ]
    assert p.tolist() == expected


def test_stagewise_refuses_another_total():
    schedule = sd.schedules.stagewise(sd.schedules.uniform(0.5), [3, 4])
    with pytest.raises(sd.InvalidArgument, match="num_blocks must be 7"):
        schedule(8)
    with pytest.raises(sd.InvalidArgument, match="blocks_per_stage must be at least 1"):
        sd.schedules.stagewise(sd.schedules.uniform(0.5), [3, 0])
    with pytest.raises(sd.InvalidArgument, match="number of stages must be at least 1"):
        sd.schedules.stagewise(sd.schedules.uniform(0.5), [])


def test_a_schedule_of_ones_own_is_checked_as_well():
    class Broken(sd.schedules.Schedule):
        def survival(self, num_blocks):
            return torch.full((num_blocks + 1,), 0.5)

        __repr__ = object.__repr__

    with pytest.raises(sd.InvalidArgument, match="a vector of 3 entries, one per block"):
        Broken()(3)


TABLES = {
    "fixed": sd.schedules.fixed([0.9, 0.5, 0.1]),
    "stagewise": sd.schedules.stagewise(sd.schedules.linear(0.5), [2, 1]),
}


@pytest.mark.parametrize("schedule", (SCHEDULES | TABLES).values(), ids=SCHEDULES | TABLES)
def test_schedules_are_the_same_under_another_default_device(schedule):
    expected = schedule(3)
    with torch.device("meta"):
        found = schedule(3)
    assert torch.equal(found, expected)
