from statistics import median

import pytest
import torch

from stochastic_depth.experiments.bench import IMPLEMENTATIONS, SKIP, bench
from stochastic_depth.experiments.bench._ideal_share import ideal_share, kinds, without
from stochastic_depth.experiments.bench._networks import plain
from stochastic_depth.schedules import uniform


def test_the_ideal_charges_each_block_its_own_cost():
    # Ten seconds: two blocks of 3 s, one of 2 s, a transition of 1 s, and 1 s of the rest.
    kind = torch.tensor([0, 0, 1, 3])
    left_out = [0.4, 0.8, 1.0, 0.9]
    for live, seconds in [
        ([1.0, 1.0, 1.0, 1.0], 10.0),
        ([0.0, 1.0, 1.0, 1.0], 7.0),
        ([0.5, 0.0, 0.75, 0.0], 10 - 1.5 - 3 - 0.5 - 1),
        ([0.0, 0.0, 0.0, 0.0], 1.0),
    ]:
        share = ideal_share(torch.tensor(live), kind, left_out, emptied=0.1)
        assert share == pytest.approx(seconds / 10)


def test_the_blocks_cost_together_what_all_of_them_save():
    kind = torch.tensor([0, 0, 1, 2, 3])
    noisy = [0.38, 0.75, 0.93, 0.88]  # they save 1.06 of a step
    for live in (0.0, 0.5, 1.0):
        share = ideal_share(torch.full((5,), live), kind, noisy, emptied=0.1)
        assert share == pytest.approx(1 - (1 - live) * 0.9)


def test_kinds_are_stages_and_transitions():
    kind = kinds(plain(20))
    assert kind.tolist() == [0, 0, 0, 3, 1, 1, 3, 2, 2]
    assert without(1, kind).tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 1]


def test_every_implementation_is_timed_under_both_schedules():
    rounds = []
    result = bench(depth=8, batch_size=4, image_size=8, rounds=2, report=rounds.append)
    assert rounds == [1, 2]
    compared = [(row.implementation, row.schedule) for row in result.rows]
    assert compared[0] == ("ours, every survival at 1", "")
    assert compared[1:] == [
        (name, schedule) for schedule in ("linear 0.5", "uniform 0.5") for name in IMPLEMENTATIONS
    ]
    assert all(row.seconds > 0 and row.to_constant > 0 and row.to_ideal > 0 for row in result.rows)
    assert all(median(row.ratios) == row.to_constant for row in result.rows)


def test_only_what_is_asked_for_is_timed():
    result = bench(
        8, 4, 8, 1, schedules={"late": uniform(0.2)}, implementations={SKIP: IMPLEMENTATIONS[SKIP]}
    )
    assert [(row.implementation, row.schedule) for row in result.rows[1:]] == [(SKIP, "late")]
    assert set(result.ideal_shares) == {"late", ""}


@pytest.mark.parametrize("build", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def test_every_implementation_trains_the_same_parameters(build):
    reference = dict(plain(14).named_parameters())
    model, _ = build(14, torch.full((6,), 0.5, dtype=torch.float64))
    assert {k: v.shape for k, v in model.named_parameters()} == {
        k: v.shape for k, v in reference.items()
    }
