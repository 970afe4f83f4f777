import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth import InvalidArgument
from stochastic_depth.training import LearningRateConfig

STEPS = 7


def rates(config: LearningRateConfig, epochs: int) -> list[float]:
    return [config.at(step, STEPS, epochs) for step in range(STEPS * epochs)]


def test_milestones_fall_at_the_first_step_of_an_epoch():
    measured = rates(LearningRateConfig(1.0, "milestones", milestones=(0.5, 0.75)), epochs=20)
    # Epochs 1-9, 10-14, 15-20: an epoch that is a share of training exactly belongs to it.
    expected = [1.0] * 9 * STEPS + [0.1] * 5 * STEPS + [0.01] * 6 * STEPS
    assert measured == pytest.approx(expected)


@given(st.integers(1, 400), st.floats(0.05, 0.95))
def test_milestones_follow_the_rule_of_the_program(epochs, share):
    config = LearningRateConfig(1.0, "milestones", milestones=(share,), factor=0.5)
    for epoch in range(1, epochs + 1):
        expected = 1.0 if epoch < epochs * share else 0.5
        assert config.at((epoch - 1) * STEPS, STEPS, epochs) == expected


def test_cosine_is_torchs_cosine():
    config = LearningRateConfig(0.3, "cosine")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5 * STEPS)
    for measured in rates(config, epochs=5):
        assert measured == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


def test_linear_warmup_reaches_the_initial_rate_in_its_last_step():
    measured = rates(LearningRateConfig(0.8, "constant", warmup_epochs=2), epochs=3)
    expected = [0.8 * step / 14 for step in range(1, 15)] + [0.8] * STEPS
    assert measured == pytest.approx(expected)


def test_cosine_starts_after_the_warmup():
    measured = rates(LearningRateConfig(0.5, "cosine", warmup_epochs=1), epochs=3)
    assert measured[STEPS] == 0.5
    halfway = STEPS + STEPS
    assert measured[halfway] == pytest.approx(0.25)
    assert measured[-1] == pytest.approx(0.25 * (1 + math.cos(math.pi * 13 / 14)))


def test_constant_warmup():
    config = LearningRateConfig(0.1, "constant", warmup_epochs=2, warmup_rate=0.01)
    assert rates(config, epochs=3) == [0.01] * 2 * STEPS + [0.1] * STEPS


def test_a_warmup_as_long_as_training():
    assert rates(LearningRateConfig(0.7, "cosine", warmup_epochs=1), epochs=1)[-1] == 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": 0.0}, "learning_rate.initial must be positive"),
        ({"initial": math.nan}, "learning_rate.initial must be a number"),
        ({"decay": "cosin"}, "learning_rate.decay must be one of .* Did you mean 'cosine'"),
        ({"decay": "milestones"}, "milestones must be given exactly when"),
        ({"milestones": (0.5,)}, "milestones must be given exactly when"),
        ({"decay": "milestones", "milestones": (0.5, 0.4)}, "milestones must be increasing"),
        ({"decay": "milestones", "milestones": (50,)}, r"milestones must be in \[0, 1\]; got 50"),
        ({"factor": 2.0}, "learning_rate.factor must be in"),
        ({"warmup_epochs": -1}, "learning_rate.warmup_epochs must be at least 0"),
        ({"warmup_rate": -0.1}, "learning_rate.warmup_rate must be positive"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        LearningRateConfig(**arguments)


def test_a_warmup_in_steps_and_a_cosine_that_stops_above_nothing():
    config = LearningRateConfig(0.5, "cosine", warmup_steps=4, floor=0.1)
    measured = rates(config, epochs=2)
    assert measured[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    expected = [0.05 + 0.45 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(10)]
    assert measured[4:] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup_steps": -1}, "warmup_steps must be at least 0"),
        ({"warmup_steps": 3, "warmup_epochs": 1}, "warmup_steps must be 0 beside .*epochs; got 3"),
        ({"floor": 1.0}, r"floor must be in \[0, 1\); got 1.0"),
        ({"floor": 0.1, "decay": "constant"}, "floor must be 0 unless decay is 'cosine'"),
    ],
)
def test_refusals_of_the_schedule_of_language_models(fields, message):
    with pytest.raises(InvalidArgument, match=message):
        LearningRateConfig(**fields)
