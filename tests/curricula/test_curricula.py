from math import exp, nan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import stochastic_depth as sd
from tests.helpers import probabilities, probability

progress = st.floats(0, 1)
share = st.floats(0.01, 1)

CURRICULA = {
    "constant": sd.curricula.constant,
    "warmup": lambda p: sd.curricula.warmup(p, until=0.3),
    "progressive": lambda p: sd.curricula.progressive(p, sharpness=5),
    "early": lambda p: sd.curricula.early(p, until=0.3),
    "late": lambda p: sd.curricula.late(p, start=0.6),
    "piecewise": lambda p: sd.curricula.piecewise(p, [(0.1, 0.0), (0.4, 0.5), (0.4, 1.0)]),
    "sequential": lambda p: sd.curricula.sequential(
        (0.25, sd.curricula.warmup(p, until=1.0)), (1.0, sd.curricula.constant(p))
    ),
}


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
@given(p=probabilities, t=progress)
def test_probabilities_stay_between_the_final_ones_and_full_depth(make, p, t):
    now = make(p)(t)
    final = torch.tensor(p, dtype=torch.float64)
    assert now.shape == final.shape
    assert now.dtype == torch.float64
    assert (now >= final - 1e-15).all()
    assert (now <= 1).all()


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
@pytest.mark.parametrize("bad", [-0.01, 1.01, nan])
def test_progress_is_a_share(make, bad):
    with pytest.raises(sd.InvalidArgument, match="progress must be"):
        make(0.5)(bad)


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
def test_survival_is_checked_at_birth(make):
    with pytest.raises(sd.InvalidArgument, match=r"p\[1\] must be in \[0, 1\]"):
        make([0.5, 1.2])


@pytest.mark.parametrize("name", ["constant", "warmup", "late", "piecewise", "sequential"])
@given(p=probabilities)
def test_the_final_probabilities_are_reached_exactly(name, p):
    assert CURRICULA[name](p)(1.0).tolist() == p


@given(p=probabilities, until=share)
def test_early_ends_at_full_depth_exactly(p, until):
    assert sd.curricula.early(p, until)(until).tolist() == [1.0] * len(p)
    assert sd.curricula.early(p, until)(0.0).tolist() == p


@given(p=probability, until=share, t=progress)
def test_warmup_is_a_straight_line(p, until, t):
    expected = 1 - (1 - p) * min(1, t / until)
    assert sd.curricula.warmup(p, until)(t).item() == pytest.approx(expected)


@given(p=probability, sharpness=st.floats(0.01, 50), t=progress)
def test_progressive_is_the_formula_of_deepspeed(p, sharpness, t):
    theta = (1 - p) * exp(-sharpness * t) + p
    assert sd.curricula.progressive(p, sharpness)(t).item() == pytest.approx(theta)


def test_progressive_on_a_linear_schedule_is_deepspeeds_layerwise_rule():
    step, total, gamma, bar = 300, 2000, 0.001, 0.5
    p = sd.schedules.linear(bar)(12)
    theta = (1 - bar) * exp(-gamma * step) + bar
    layerwise = 1 - torch.arange(1, 13, dtype=torch.float64) / 12 * (1 - theta)
    ours = sd.curricula.progressive(p, sharpness=gamma * total)(step / total)
    assert_close(ours, layerwise)


def test_late_is_a_step():
    late = sd.curricula.late(0.6, start=0.5)
    assert [late(t).item() for t in (0.0, 0.499, 0.5, 1.0)] == [1.0, 1.0, 0.6, 0.6]


def test_sequential_hands_each_piece_its_own_progress():
    seen = []

    def spy(progress):
        seen.append(progress)
        return torch.tensor([0.9])

    plan = sd.curricula.sequential((0.2, spy), (0.6, spy), (1.0, spy))
    for t in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0):
        plan(t)
    assert seen == pytest.approx([0, 0.5, 0, 0.5, 0, 0.5, 1])


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((), "last `until` must be 1"),
        ((0.5,), "must be 1"),
        ((0.6, 0.4, 1.0), "growing"),
        ((0.5, 0.5, 1.0), "growing"),
    ],
)
def test_sequential_covers_training_without_overlap(ends, message):
    piece = sd.curricula.constant(0.5)
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.curricula.sequential(*((end, piece) for end in ends))


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.1])
def test_the_length_of_a_ramp_is_a_share_of_training(bad):
    for make in (sd.curricula.warmup, sd.curricula.early, sd.curricula.late):
        with pytest.raises(sd.InvalidArgument, match=r"(until|start) must be in"):
            make(0.5, bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf")])
def test_sharpness_is_positive_and_finite(bad):
    with pytest.raises(sd.InvalidArgument, match="sharpness must be positive and finite"):
        sd.curricula.progressive(0.5, sharpness=bad)


@pytest.mark.parametrize("number", [1, np.float32(0.5), np.array(0.5), torch.tensor(0.5)])
def test_one_number_of_any_type_serves_all_blocks(number):
    assert sd.curricula.constant(number)(0.0).tolist() == [float(number)]
    assert sd.curricula.constant(np.array([0.5, 0.25]))(0.0).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
def test_what_a_caller_does_to_a_result_changes_nothing(make):
    curriculum = make([0.5, 0.25])
    for t in (0.0, 0.7, 1.0):
        before = curriculum(t).tolist()
        curriculum(t).zero_()
        assert curriculum(t).tolist() == before


def test_a_curriculum_of_ones_own_is_checked_as_well():
    class Broken(sd.curricula.Curriculum):
        def survival(self, progress):
            return torch.tensor([1.5])

    with pytest.raises(sd.InvalidArgument, match=r"broken\(0\.5\)\[0\] must be in \[0, 1\]"):
        Broken()(0.5)


@pytest.mark.parametrize("tiny", [5e-324, 1e-300])
def test_ramps_of_hardly_any_length(tiny):
    assert sd.curricula.warmup(0.3, tiny)(0.5).item() == 0.3
    assert sd.curricula.early(0.3, tiny)(0.5).item() == 1.0


@given(p=probability, t=progress)
def test_piecewise_is_numpys_interpolation(p, t):
    times, levels = [0.0, 0.25, 0.5, 1.0], [0.2, 1.0, 0.4, 0.0]
    expected = 1 - (1 - p) * np.interp(t, times, levels)
    piecewise = sd.curricula.piecewise(p, zip(times, levels, strict=True))
    assert piecewise(t).item() == pytest.approx(expected)


def test_piecewise_jumps_where_two_points_share_a_time():
    jump = sd.curricula.piecewise(0.6, [(0.5, 0.0), (0.5, 1.0)])
    assert [jump(t).item() for t in (0.0, 0.49, 0.5, 1.0)] == [1.0, 1.0, 0.6, 0.6]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "points must be at least one pair"),
        ([(0.5, 1.0), (0.4, 0.0)], "points must be in order of time"),
        ([(1.1, 0.0)], r"time of a point must be in \[0, 1\]"),
        ([(0.0, -0.1)], r"intensity must be in \[0, 1\]"),
    ],
)
def test_points_that_are_no_curriculum(points, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.curricula.piecewise(0.5, points)


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
def test_a_curriculum_is_what_it_was_made_of(make):
    assert make([0.5, 0.25]) == make(torch.tensor([0.5, 0.25]))
    assert make([0.5, 0.25]) != make([0.5, 0.5])
    assert hash(make(0.5)) == hash(make([0.5]))
    names = {name: getattr(sd.curricula, name) for name in sd.curricula.__all__}
    assert eval(repr(make([0.5, 0.25])), names) == make([0.5, 0.25])  # noqa: S307


@pytest.mark.parametrize("make", CURRICULA.values(), ids=CURRICULA)
def test_curricula_are_the_same_under_another_default_device(make):
    expected = [make([0.5, 0.25])(t) for t in (0.0, 0.7, 1.0)]
    with torch.device("meta"):
        found = [make([0.5, 0.25])(t) for t in (0.0, 0.7, 1.0)]
    assert_close(found, expected, rtol=0, atol=0)
