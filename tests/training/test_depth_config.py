import pytest
import torch

import stochastic_depth as sd
from stochastic_depth.training import DepthConfig

SCHEDULES = {
    "uniform": ({"schedule": "uniform", "last": 0.7}, sd.schedules.uniform(0.7)),
    "linear": ({"last": 0.3}, sd.schedules.linear(0.3)),
    "linspace": ({"last": 0.3, "rule": "linspace"}, sd.schedules.linear(0.3, rule="linspace")),
    "power": ({"schedule": "power", "last": 0.3, "exponent": 2.0}, sd.schedules.power(0.3, 2.0)),
    "cosine": ({"schedule": "cosine", "last": 0.3}, sd.schedules.cosine(0.3)),
    "fixed": (
        {"schedule": "fixed", "probabilities": (0.9, 0.2, 0.4)},
        sd.schedules.fixed([0.9, 0.2, 0.4]),
    ),
}


def every_other_step(p):
    """A curriculum of one's own: a function of the probabilities."""
    return lambda progress: p if round(10 * progress) % 2 else torch.ones_like(p)


CURRICULA = {
    "constant": ({}, sd.curricula.constant),
    "warmup": ({"until": 0.3}, lambda p: sd.curricula.warmup(p, 0.3)),
    "progressive": ({"sharpness": 4.0}, lambda p: sd.curricula.progressive(p, 4.0)),
    "early": ({"until": 0.3}, lambda p: sd.curricula.early(p, 0.3)),
    "late": ({"start": 0.3}, lambda p: sd.curricula.late(p, 0.3)),
    "piecewise": (
        {"points": ((0.0, 0.0), (0.5, 1.0))},
        lambda p: sd.curricula.piecewise(p, [(0.0, 0.0), (0.5, 1.0)]),
    ),
    f"{__name__}.every_other_step": ({}, lambda p: every_other_step(p)),
}
SENSE = {"schedule": "sense", "budget": 0.4}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    arguments, schedule = SCHEDULES[name]
    assert torch.equal(DepthConfig(**arguments).survival(3), schedule(3))


def test_protected_blocks_survive():
    protected = torch.tensor([False, True, False])
    assert DepthConfig(last=0.4).survival(3, protected).tolist() == pytest.approx([0.8, 1.0, 0.4])


def test_budget_is_met_with_the_protected_blocks_counted():
    protected = torch.tensor([True, False, False, False])
    p = DepthConfig(schedule="uniform", budget=0.7).survival(4, protected)
    assert p.tolist() == pytest.approx([1.0, 0.6, 0.6, 0.6], abs=1e-6)


def test_sense_spends_the_budget_by_sensitivity():
    protected = torch.tensor([False, True, False, False])
    config = DepthConfig(**SENSE | {"budget": 0.5, "minimum": 0.1})
    p = config.survival(4, protected, torch.tensor([0.3, 9.0, 0.1, 0.0]))
    assert p.tolist() == pytest.approx([0.625, 1.0, 0.275, 0.1], abs=1e-6)
    with pytest.raises(sd.InvalidArgument, match="sensitivities must be given for the schedule"):
        config.survival(4, protected)


@pytest.mark.parametrize(
    ("budget", "chosen"), [(0.49, "sense"), (0.5, "uniform"), (1.0, "uniform")]
)
def test_auto_follows_the_budget_and_says_why(budget, chosen):
    config = DepthConfig(schedule="auto", budget=budget)
    assert config.chosen == chosen
    assert f"auto chose {chosen} because the budget {budget:g} is" in config.reason
    if chosen == "uniform":
        assert config.survival(3).tolist() == pytest.approx([budget] * 3)


@pytest.mark.parametrize("name", CURRICULA)
def test_curricula(name):
    arguments, curriculum = CURRICULA[name]
    p = torch.tensor([0.9, 0.4], dtype=torch.float64)
    config = DepthConfig(last=0.4, curriculum=name, **arguments)
    for progress in (0.0, 0.2, 0.35, 1.0):
        assert torch.equal(config.curriculum_of(p)(progress), curriculum(p)(progress))


def test_laws():
    p = torch.tensor([0.9, 0.4])
    law = DepthConfig(last=0.4, law="fixed-depth", rescale="test").law_of(p)
    assert isinstance(law, sd.gates.FixedDepth)
    assert law.rescale == "test"
    assert isinstance(DepthConfig(last=0.4).law_of(p), sd.gates.Bernoulli)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of last, budget, probabilities; got none"),
        ({"last": 0.5, "budget": 0.7}, "exactly one of .* Pass null for the others"),
        ({"last": 1.5}, r"last must be in \[0, 1\]; got 1.5"),
        ({"last": float("nan")}, "last must be a number; got NaN"),
        ({"schedule": "lin", "last": 0.5}, "depth.schedule must be one of .* mean 'linear'"),
        ({"schedule": "power", "last": 0.5}, "depth.exponent must be given exactly when schedule"),
        ({"exponent": 2.0, "last": 0.5}, "depth.exponent must be given exactly when schedule"),
        ({"schedule": "fixed", "last": 0.5}, "depth.probabilities must be given exactly when"),
        ({"last": 0.5, "curriculum": "late"}, "depth.start must be given exactly when curriculum"),
        ({"last": 0.5, "until": 0.5}, "depth.until must be given exactly when curriculum"),
        ({"last": 0.5, "curriculum": "warmup", "until": 0.0}, r"until must be in \(0, 1\]"),
        ({"last": 0.5, "law": "bernouli"}, "depth.law must be one of .* mean 'bernoulli'"),
        ({"last": 0.5, "rule": "tf"}, "rule must be one of"),
        ({"schedule": "sense", "last": 0.5}, "depth.budget must be given with schedule sense"),
        ({"schedule": "auto", "last": 0.5}, "depth.budget must be given with schedule auto"),
        ({"last": 0.5, "minimum": 0.1}, "depth.minimum must be left out unless the schedule goes"),
        ({"last": 0.5, "interval": 9}, "depth.interval must be left out unless the schedule"),
        (SENSE | {"schedule": "auto", "budget": 0.5, "interval": 9}, "depth.interval must be left"),
        (SENSE | {"minimum": 1.1}, r"depth.minimum must be in \[0, 1\]; got 1.1"),
        (SENSE | {"interval": 0}, "depth.interval must be at least 1; got 0"),
        (SENSE | {"sense_batches": 0}, "depth.sense_batches must be at least 1; got 0"),
        (
            SENSE | {"interval": 9, "curriculum": "late", "start": 0.5},
            "depth.curriculum must be constant beside depth.interval",
        ),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        DepthConfig(**arguments)


def test_a_budget_out_of_reach_is_refused_with_the_range():
    with pytest.raises(sd.InfeasibleBudget, match=r"in \[0.\d+, 1\]"):
        DepthConfig(budget=0.2).survival(10)
