from dataclasses import dataclass

import pytest
import torch

import stochastic_depth as sd
from stochastic_depth.training import DepthConfig


@dataclass(frozen=True, repr=False)
class EveryOther(sd.schedules.Schedule):
    """A family of schedules of one's own: a class, and a plain function that makes lists."""

    p: float

    def survival(self, num_blocks):
        return odd(self.p, num_blocks)


def every_other(p):
    return lambda num_blocks: odd(p, num_blocks).tolist()


def odd(p, num_blocks):
    marks = [p if block % 2 else 1.0 for block in range(num_blocks)]
    return torch.tensor(marks, dtype=torch.float64)


class Together(sd.gates.FixedDepth):
    """A law of one's own."""


def no_schedule(p):
    return p


def too_short(p):
    return lambda num_blocks: [p] * (num_blocks - 1)


SCHEDULES = {
    "uniform": ({"schedule": "uniform", "last": 0.7}, sd.schedules.uniform(0.7)),
    "linear": ({"last": 0.3}, sd.schedules.linear(0.3)),
    "linspace": ({"last": 0.3, "rule": "linspace"}, sd.schedules.linear(0.3, rule="linspace")),
    "power": ({"schedule": "power", "last": 0.3, "exponent": 2.0}, sd.schedules.power(0.3, 2.0)),
    "cosine": ({"schedule": "cosine", "last": 0.3}, sd.schedules.cosine(0.3)),
    "own class": ({"schedule": f"{__name__}.EveryOther", "last": 0.3}, lambda L: odd(0.3, L)),
    "own function": ({"schedule": f"{__name__}.every_other", "last": 0.3}, lambda L: odd(0.3, L)),
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
    own = DepthConfig(last=0.4, law=f"{__name__}.Together", rescale="none").law_of(p)
    assert (type(own).__name__, own.rescale, own.survival.tolist()) == (
        "Together",
        "none",
        p.double().tolist(),
    )
    with pytest.raises(sd.InvalidArgument, match="depth.law must be the import path of what makes"):
        DepthConfig(last=0.4, law=f"{__name__}.law_without_gates").law_of(p)


def law_without_gates(p, rescale):
    return p


def test_a_family_of_ones_own_meets_a_budget():
    p = DepthConfig(schedule=f"{__name__}.EveryOther", budget=0.8).survival(5)
    assert p.tolist() == pytest.approx([1.0, 0.5, 1.0, 0.5, 1.0], abs=1e-6)


def test_what_a_schedule_of_ones_own_gives_is_looked_at():
    with pytest.raises(sd.InvalidArgument, match="survival must be a vector of 3 entries"):
        DepthConfig(schedule=f"{__name__}.too_short", last=0.5).survival(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of last, budget, probabilities; got none"),
        ({"last": 0.5, "budget": 0.7}, "exactly one of .* Pass null for the others"),
        ({"last": 1.5}, r"last must be in \[0, 1\]; got 1.5"),
        ({"last": float("nan")}, "last must be a number; got NaN"),
        ({"schedule": "lin", "last": 0.5}, "depth.schedule must be one of .* mean 'linear'"),
        ({"schedule": "torch.nn.Linea", "last": 0.5}, "must be a name in torch.nn; got 'Linea'"),
        ({"schedule": "torch.Size", "last": 0.5}, "depth.schedule must be the import path of what"),
        ({"schedule": f"{__name__}.no_schedule", "last": 0.5}, "path of a family of schedules"),
        ({"schedule": f"{__name__}.EveryOther", "last": 1.5}, r"last must be in \[0, 1\]; got 1.5"),
        (
            {"law": "torch.nn.Linear", "last": 0.5},
            "depth.law must be the import path of what makes",
        ),
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
