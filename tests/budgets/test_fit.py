from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stochastic_depth as sd
from tests.helpers import FAMILIES

budget = st.floats(0.01, 1)
costs = st.lists(st.floats(0.01, 100), min_size=1, max_size=30)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@given(costs=costs, budget=budget)
def test_the_budget_is_met_or_refused_with_the_feasible_range(family, costs, budget):
    n = len(costs)
    low, high = (sd.budgets.active_share(family(end)(n), costs) for end in (0.0, 1.0))
    try:
        schedule = sd.budgets.fit(family, n, budget, costs)
    except sd.InfeasibleBudget as error:
        assert not low <= budget <= high
        assert f"{low:.6g}" in str(error)
    else:
        assert sd.budgets.active_share(schedule(n), costs) == pytest.approx(budget, abs=1e-6)


# Hayou & Ayed 2021: 1 - p_L = 2 (L - L_bar)/(L + 1), for the 54 blocks of ResNet-110.
@pytest.mark.parametrize(
    ("budget", "last"),
    [(0.5, 0.0182), (0.6, 0.2145), (0.7, 0.4109), (0.8, 0.6073), (0.9, 0.8036)],
)
def test_linear_at_the_budgets_of_the_paper(budget, last):
    schedule = sd.budgets.fit(sd.schedules.linear, 54, budget)
    assert schedule.last == pytest.approx(last, abs=5e-5)
    assert schedule.last == pytest.approx(1 - 2 * 54 * (1 - budget) / 55, abs=1e-12)


def test_linear_cannot_go_below_about_one_half():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0\.490741, 1\].*got 0\.3"):
        sd.budgets.fit(sd.schedules.linear, 54, 0.3)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_full_budget_is_the_ordinary_network(family):
    # Twelve shares of 1/12 add up to less than 1, by rounding.
    for n in (7, 12):
        assert sd.budgets.fit(family, n, 1.0)(n).tolist() == pytest.approx([1.0] * n)


def test_one_block():
    assert sd.budgets.fit(sd.schedules.linear, 1, 0.3)(1).item() == pytest.approx(0.3)
    with pytest.raises(sd.InfeasibleBudget, match=r"in \[1, 1\]"):
        sd.budgets.fit(partial(sd.schedules.linear, rule="linspace"), 1, 0.3)


def test_protected_blocks_count_and_the_rest_meets_the_budget():
    protected = [True, False, False, True]
    schedule = sd.budgets.fit(sd.schedules.uniform, 4, 0.8, protected=protected)
    assert schedule.p == pytest.approx(0.6)
    schedule = sd.budgets.fit(sd.schedules.uniform, 4, 0.8, [1, 2, 2, 5], protected=protected)
    assert schedule.p == pytest.approx(0.5)


def test_a_budget_below_the_protected_share_is_refused():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0\.75, 1\]"):
        sd.budgets.fit(sd.schedules.uniform, 4, 0.7, protected=[True, True, True, False])


def test_a_family_that_jumps_is_refused():
    def jump(parameter):
        return sd.schedules.uniform(0.2 if parameter < 0.5 else 0.9)

    with pytest.raises(sd.InfeasibleBudget, match="jumps over it"):
        sd.budgets.fit(jump, 5, 0.5)


def test_a_family_may_be_any_callable():
    schedule = sd.budgets.fit(lambda p: lambda n: torch.full((n,), p**2), 3, 0.49)
    assert schedule(3).tolist() == pytest.approx([0.49] * 3)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.01, float("nan"), "much"])
def test_a_budget_is_a_share(bad):
    with pytest.raises(sd.InvalidArgument, match="budget must be"):
        sd.budgets.fit(sd.schedules.uniform, 3, bad)


@pytest.mark.parametrize(
    ("protected", "message"),
    [([True], "a vector of 2 entries"), ([1.0, 0.0], "protected must be a boolean vector")],
)
def test_protected_is_one_boolean_per_block(protected, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.budgets.fit(sd.schedules.uniform, 2, 0.9, protected=protected)


@pytest.mark.parametrize("unit", [5e-324, 1e-300, 1e300, 8e307])
def test_costs_may_be_in_any_unit(unit):
    schedule = sd.budgets.fit(sd.schedules.uniform, 3, 0.5, [unit, 2 * unit, unit])
    assert schedule.p == pytest.approx(0.5)


def test_a_family_that_falls_is_refused():
    with pytest.raises(sd.InvalidArgument, match=r"family must be non-decreasing.*1 at 0 and 0 at"):
        sd.budgets.fit(lambda drop: sd.schedules.uniform(1 - drop), 3, 0.5)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda n: [2.0] * n, r"family\(1\)\(3\)\[0\] must be in \[0, 1\]; got 2"),
        (lambda n: [float("nan")] * n, r"must be in \[0, 1\]; got nan"),
        (lambda n: [0.5] * (n + 1), "must be a vector of 3 entries, one per block"),
    ],
)
def test_a_familys_schedules_are_checked(schedule, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.budgets.fit(lambda parameter: schedule, 3, 0.5)


def test_the_budget_is_met_far_below_the_tolerance():
    p = sd.budgets.fit(sd.schedules.uniform, 3, 1 / 3).p
    assert p == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize("end", [0.25, 1.0])
def test_the_ends_of_the_feasible_range_belong_to_it(end):
    # Sums of costs such as 0.1 miss their ends by rounding.
    protected = [True, False, False, False]
    schedule = sd.budgets.fit(sd.schedules.uniform, 4, end, [0.1] * 4, protected)
    share = sd.budgets.active_share(torch.where(torch.tensor(protected), 1.0, schedule(4)))
    assert share == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize("jump", [2.5e-6, 1e-3])
def test_the_budget_is_met_to_a_millionth_or_refused(jump):
    # Shares jump from `jump` below the budget to `jump` above it, or nearly so.
    def family(size):
        return lambda t: sd.schedules.uniform(0.6 + (size if t >= 0.5 else -size))

    with pytest.raises(sd.InfeasibleBudget, match=r"budget 0\.6 must be met to 1e-06; .*jumps"):
        sd.budgets.fit(family(jump), 3, 0.6)
    near = sd.budgets.fit(family(0.9e-6), 3, 0.6)
    assert near(3).tolist() == pytest.approx([0.6 + 0.9e-6] * 3, abs=1e-15)
    with pytest.raises(sd.InfeasibleBudget, match=r"jumps over it, to 0\.600001 at"):
        sd.budgets.fit(family(1.1e-6), 3, 0.6)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_blocks_without_cost_do_not_count(family):
    costs = [0.0, 1.0, 0.0, 2.0]
    p = sd.budgets.fit(family, 4, 0.8, costs)(4)
    assert float(p[1] + 2 * p[3]) / 3 == pytest.approx(0.8, abs=1e-6)
