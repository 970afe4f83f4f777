from math import nan

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import optimize
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.budgets._piecewise import solve

budget = st.floats(0.02, 1)
blocks = st.integers(1, 15)
positive = st.floats(1e-3, 1e3)


def vectors(element, n):
    return st.lists(element, min_size=n, max_size=n)


@st.composite
def problems(draw, element):
    """Numbers per block, costs, and a budget."""
    n = draw(blocks)
    return draw(vectors(element, n)), draw(vectors(positive, n)), draw(budget)


def minimised(objective, start, costs, budget):
    """The same allocation by a general solver, scipy's SLSQP."""
    costs = np.asarray(costs) / np.sum(costs)
    solution = optimize.minimize(
        objective,
        start,
        method="SLSQP",
        bounds=[(0, 1)] * len(start),
        constraints={"type": "eq", "fun": lambda q: costs @ q - budget},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return torch.as_tensor(solution.x)


@given(problems(st.floats(0, 1)))
def test_projection_meets_the_budget_and_no_feasible_step_brings_it_nearer(problem):
    p, costs, budget = problem
    q = sd.budgets.project(p, budget, costs)
    assert ((q >= 0) & (q <= 1)).all()
    assert sd.budgets.active_share(q, costs) == pytest.approx(budget, abs=1e-6)
    # Optimality: q - p is proportional to the costs wherever q is not clipped, and the
    # clipped entries would like to go further out.
    c = torch.tensor(costs, dtype=torch.float64)
    price = (q - torch.tensor(p, dtype=torch.float64)) / c
    inside = (q > 1e-9) & (q < 1 - 1e-9)
    if inside.any():
        middle = price[inside].mean()
        scale = price.abs().max() + 1
        assert (price[inside] - middle).abs().max() <= 1e-6 * scale
        assert (price[q <= 1e-9] >= middle - 1e-6 * scale).all()
        assert (price[q >= 1 - 1e-9] <= middle + 1e-6 * scale).all()


@pytest.mark.parametrize("seed", range(4))
def test_projection_agrees_with_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    p, costs, budget = rng.random(6), rng.random(6) + 0.1, 0.3 + 0.15 * seed
    expected = minimised(lambda q: ((q - p) ** 2).sum(), np.full(6, budget), costs, budget)
    assert_close(sd.budgets.project(p, budget, costs), expected, atol=1e-6, rtol=0)


def test_projecting_what_fits_changes_nothing():
    p = sd.schedules.linear(0.5)(54)
    assert_close(sd.budgets.project(p, float(p.mean())), p)


def test_projection_holds_protected_blocks_at_one():
    q = sd.budgets.project([0.2, 0.5, 0.5], 0.6, protected=[True, False, False])
    assert_close(q, torch.tensor([1.0, 0.4, 0.4], dtype=torch.float64))
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0\.666667, 1\]"):
        sd.budgets.project([0.2, 0.5, 0.5], 0.5, protected=[True, True, False])


@given(problems(st.floats(-1e6, 1e6)), st.floats(0, 0.5))
def test_sensemode_is_its_formula_at_the_budget(problem, minimum):
    sensitivities, costs, budget = problem
    try:
        p = sd.budgets.sense(sensitivities, budget, minimum, costs)
    except sd.InfeasibleBudget:
        return
    except sd.InvalidArgument:
        assert not any(sensitivities)
        return
    assert sd.budgets.active_share(p, costs) == pytest.approx(budget, abs=1e-6)
    s = torch.tensor(sensitivities, dtype=torch.float64).abs()
    inside = (p < 1) & (s > 1e-6 * s.max())
    assume(inside.any())
    slope = ((p - minimum) / s)[inside]
    c = slope.median()
    assert_close(slope, c.expand_as(slope), rtol=1e-6, atol=1e-9)
    assert (minimum + c * s[p == 1] >= 1 - 1e-6).all()


def test_sensemode_fills_one_block_after_another():
    # c = 5: the first block is full, the rest in proportion. (1 + 0.5 + 0.25)/3 of the blocks.
    p = sd.budgets.sense([-1.0, 0.1, 0.05], budget=1.75 / 3)
    assert_close(p, torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64))


def test_sensemode_keeps_useful_blocks_whatever_the_sign():
    assert_close(sd.budgets.sense([-2.0, 1.0], 0.6), sd.budgets.sense([2.0, -1.0], 0.6))


def test_sensemode_cannot_spend_on_blocks_without_sensitivity():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0, 0\.5\]"):
        sd.budgets.sense([1.0, 0.0], budget=0.7)
    assert sd.budgets.sense([1.0, 0.0], 0.7, minimum=0.4).tolist() == pytest.approx([1.0, 0.4])


def test_sensemode_below_its_minimum_is_refused():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0\.3, 1\]"):
        sd.budgets.sense([1.0, 2.0], budget=0.2, minimum=0.3)


@pytest.mark.parametrize(
    ("sensitivities", "message"),
    [
        ([0.0, 0.0], "non-zero entry on a droppable block; got all zero"),
        ([1.0, nan], r"sensitivities\[1\] must be finite"),
        ([], "one entry per block"),
    ],
)
def test_sensitivities_are_checked(sensitivities, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.budgets.sense(sensitivities, 0.5)


def test_sensemode_respects_protected_blocks():
    p = sd.budgets.sense([9.0, 2.0, 1.0], 0.6, protected=[True, False, False])
    assert_close(p, torch.tensor([1.0, 8 / 15, 4 / 15], dtype=torch.float64))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20), budget)
def test_lemma_2_meets_its_own_optimality_conditions(g, budget):
    p = sd.budgets.max_regularization(g, budget)
    assert ((p >= 0) & (p <= 1)).all()
    assert float(p.mean()) == pytest.approx(budget, abs=1e-6)
    # The derivative (1 - 2p) g is one number wherever p is not clipped.
    g = torch.tensor(g, dtype=torch.float64)
    inside = (p > 1e-6) & (p < 1 - 1e-6)
    assume(inside.any())
    derivative = (1 - 2 * p) * g
    assert_close(
        derivative[inside], derivative[inside][0].expand(int(inside.sum())), rtol=1e-4, atol=1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_lemma_2_agrees_with_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    g, budget = rng.lognormal(size=7), [0.1, 0.3, 0.45, 0.7, 0.95][seed]
    expected = minimised(lambda p: -(p * (1 - p) * g).sum(), np.full(7, budget), np.ones(7), budget)
    assert_close(sd.budgets.max_regularization(g, budget), expected, atol=1e-5, rtol=0)


def test_lemma_2_without_clips_in_closed_form():
    g, budget = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), 0.6
    C = 3 * (0.5 - budget) / (1 / g).sum()
    assert_close(sd.budgets.max_regularization(g, budget), 0.5 - C / g)


def test_lemma_2_at_one_half_drops_every_block_half_of_the_time():
    assert sd.budgets.max_regularization([3.0, 0.1], 0.5).tolist() == [0.5, 0.5]


def test_lemma_2_keeps_small_weights_at_large_budgets_and_drops_them_at_small_ones():
    small, large = 0, 1
    p = sd.budgets.max_regularization([1.0, 5.0], 0.7)
    assert p[small] > p[large]
    p = sd.budgets.max_regularization([1.0, 5.0], 0.3)
    assert p[small] < p[large]


@pytest.mark.parametrize(
    ("g", "message"), [([0.0], "positive"), ([-1.0], "positive"), ([nan], "finite")]
)
def test_regularisation_weights_are_positive(g, message):
    with pytest.raises(sd.InvalidArgument, match=rf"g\[0\] must be {message}"):
        sd.budgets.max_regularization(g, 0.5)


def test_sensemode_ignores_the_sensitivity_of_protected_blocks():
    p = sd.budgets.sense([1e300, 2e-10, 1e-10], 0.6, protected=[True, False, False])
    assert_close(p, torch.tensor([1.0, 8 / 15, 4 / 15], dtype=torch.float64))
    with pytest.raises(sd.InvalidArgument, match="non-zero entry on a droppable block"):
        sd.budgets.sense([1.0, 0.0], 0.7, protected=[True, False])


extreme = st.sampled_from([5e-324, 1e-310, 1e-300, 1e-12, 1.0, 1e12, 1e300, 1.7e308])


@given(st.lists(extreme, min_size=1, max_size=6), budget, st.sampled_from([0.0, 0.3]))
def test_budgets_are_met_whatever_the_magnitudes(values, budget, minimum):
    p = sd.budgets.max_regularization(values, budget)
    assert float(p.mean()) == pytest.approx(budget, abs=1e-6)
    try:
        p = sd.budgets.sense(values, budget, minimum)
    except sd.InfeasibleBudget:
        assert budget < minimum or min(values) < 1e-307 * max(values)
    else:
        assert float(p.mean()) == pytest.approx(budget, abs=1e-6)


@given(vectors(st.floats(0, 1), 4), vectors(st.floats(0, 12), 4), budget)
def test_projection_meets_the_budget_for_costs_of_all_magnitudes(p, exponents, budget):
    costs = [10.0**exponent for exponent in exponents]
    share = sd.budgets.active_share(sd.budgets.project(p, budget, costs), costs)
    assert share == pytest.approx(budget, abs=1e-6)


def test_a_budget_just_outside_of_the_feasible_range_is_refused():
    with pytest.raises(sd.InfeasibleBudget, match="budget must be in"):
        sd.budgets.sense([1.0, 0.0], budget=0.5 + 1e-9)


def test_projection_leaves_a_block_without_cost_as_it_is():
    # The others as if it were not there.
    q = sd.budgets.project([1.0, 0.3, 0.9, 0.5], 0.7, costs=[1, 0, 1, 2])
    assert_close(q[[0, 2, 3]], sd.budgets.project([1.0, 0.9, 0.5], 0.7, costs=[1, 1, 2]))
    assert float(q[1]) == 0.3
    protected = [True, False, False]
    assert sd.budgets.project([0.2, 0.5, 0.4], 1.0, [1, 0, 0], protected).tolist() == [1, 0.5, 0.4]
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[1, 1\]"):
        sd.budgets.project([0.2, 0.5, 0.4], 0.9, [1, 0, 0], protected)


@given(problems(st.floats(0.1, 1)), st.data())
def test_allocations_with_blocks_without_cost_meet_the_budget(problem, data):
    strengths, costs, budget = problem
    free = data.draw(st.lists(st.booleans(), min_size=len(costs), max_size=len(costs)))
    assume(not all(free))
    costs = [0.0 if zero else cost for zero, cost in zip(free, costs, strict=True)]
    for p in (
        sd.budgets.project(strengths, budget, costs),
        sd.budgets.sense(strengths, budget, costs=costs),
    ):
        assert ((p >= 0) & (p <= 1)).all()
        assert sd.budgets.active_share(p, costs) == pytest.approx(budget, abs=1e-6)


KNOTS = torch.tensor([3.0, 0.0, 1.0, 2.0, 2.0])


def stairs(t):
    """Up to 1 until t = 1, level until 2, up to 2 at 3."""
    return min(t, 1.0) + max(t - 2.0, 0.0)


@pytest.mark.parametrize(
    ("target", "largest"), [(0.0, 0.0), (0.25, 0.25), (1.0, 2.0), (1.5, 2.5), (2.0, 3.0)]
)
def test_the_solver_at_and_between_its_knots(target, largest):
    assert solve(stairs, KNOTS, target) == largest
    assert stairs(largest) == target


@pytest.mark.parametrize("knots", [[1.0], [0.0, 1.0], [0.0, 1.0, 2.0]])
def test_the_solver_on_level_ground(knots):
    assert solve(lambda t: 0.7, torch.tensor(knots), 0.7) == knots[-1]


def test_sensemode_gives_blocks_without_cost_what_they_can_have():
    assert sd.budgets.sense([1.0, 0.5], 1.0, costs=[1, 0]).tolist() == [1.0, 1.0]
    # c = 0.8: the block that costs sets it, and the other follows in proportion.
    assert_close(sd.budgets.sense([1.0, 0.5], 0.8, costs=[1, 0]), torch.tensor([0.8, 0.4]).double())


def test_the_solver_stays_inside_where_rounding_has_moved_the_target():
    assert solve(stairs, KNOTS, -1e-13) == 0.0
    assert solve(stairs, KNOTS, 2 + 1e-13) == 3.0
