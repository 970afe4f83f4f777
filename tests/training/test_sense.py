"""Sensitivities on training batches, the schedules they lead to, and how these follow training."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import stochastic_depth as sd
from stochastic_depth.training import SenseMode, prepare, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._prepare import sensing_batches
from stochastic_depth.training._restore import restore
from stochastic_depth.training._sense import alternatives, mean_sensitivities
from tests.training.test_loop import rows


def network():
    torch.manual_seed(0)
    return sd.models.CifarResNet(14, num_classes=5, width=4)


def batches(number=2):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 8, 8, generator=generator), torch.randint(5, (8,), generator=generator))
        for _ in range(number)
    ]


def by_finite_differences(model, x, y, step=1e-7):
    """In float64, normalised by the statistics of the batch at full depth."""
    model = copy.deepcopy(model).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(x.double())
        model.eval()
        moved = torch.eye(len(model.blocks), dtype=torch.float64) * step
        up, down = (
            torch.stack([cross_entropy(model(x.double(), 1 + sign * d), y) for d in moved])
            for sign in (1, -1)
        )
    return ((up - down) / (2 * step)).abs()


@pytest.mark.parametrize("applied", [False, True])
def test_the_mean_size_of_the_derivatives(applied):
    model, data = network(), batches()
    expected = torch.stack([by_finite_differences(model, x, y) for x, y in data]).mean(0)
    if applied:
        sd.apply(model, sd.schedules.linear(0.3), rescale="test")
    assert torch.allclose(mean_sensitivities(model, data), expected, rtol=1e-3)


def test_the_model_and_the_global_generator_stay_as_they_are():
    model = network().train()
    before, numbers = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    mean_sensitivities(model, batches())
    assert model.training
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(numbers, torch.get_rng_state())


def test_one_budget_is_met_in_three_ways():
    choices = alternatives(network(), batches(), budget=0.7)
    assert set(choices.survival) == {"sense", "uniform", "linear"}
    for p in choices.survival.values():
        assert float(p.mean()) == pytest.approx(0.7, abs=1e-6)
    sense = choices.survival["sense"]
    ratio = sense / choices.sensitivities
    assert torch.allclose(ratio[sense < 1], ratio[sense < 1][:1])


def test_by_cost_the_budget_counts_operations():
    choices = alternatives(network(), batches(), budget=0.7, by_cost=True)
    for name in choices.survival:
        assert choices.live_cost(name) == pytest.approx(0.7, abs=1e-6)


def test_what_cannot_meet_the_budget_says_so():
    choices = alternatives(network(), batches(), budget=0.3)
    assert set(choices.survival) == {"sense", "uniform"}
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0.41"):
        choices.of("linear")


def test_all_sensitivities_zero_is_refused():
    model = network()
    torch.nn.init.zeros_(model.head.weight)
    with pytest.raises(sd.InvalidArgument, match="sensitivities must have a non-zero entry on a"):
        alternatives(model, batches(), budget=0.3)


def test_too_many_zeros_for_the_budget_are_refused():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0, 0.5\], which is what"):
        sd.budgets.sense([0.3, 0.0, 0.1, 0.0], budget=0.6)


SENSE = {
    "depth__schedule": "sense",
    "depth__last": None,
    "depth__budget": 0.4,
    "depth__interval": 3,
    "epochs": 2,
}


def test_the_schedule_is_refitted_to_the_network_as_it_is(config, run):
    settings = config(**SENSE)
    train(settings, run, progress=False)
    state = read(run / "checkpoints/last.ckpt")["sense"]
    assert state["steps"] == [0, 3, 6]
    first, second, third = state["estimates"]
    assert torch.equal(first, prepare(settings).survival)
    for p in (first, second, third):
        assert float(p.mean()) == pytest.approx(0.4, abs=1e-6)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)
    assert torch.equal(restore(run).prepared.handle.survival, third)
    assert float(rows(run)[0]["expected_depth"]) == pytest.approx(0.4 * 6)


def test_an_estimate_holds_from_its_step_to_the_next(config):
    handle = prepare(config(**SENSE)).handle
    callback = SenseMode(handle, lambda step: [], budget=0.4, interval=3)
    before = handle.survival
    assert torch.equal(callback.survival(0), before)
    estimates = [torch.full((6,), p, dtype=torch.float64) for p in (0.2, 0.4, 0.6)]
    callback.load_state_dict({"steps": [0, 3, 6], "estimates": estimates})
    expected = [0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.6, 0.6]
    assert [float(callback.survival(step)[0]) for step in range(8)] == expected
    assert torch.equal(handle.survival, estimates[-1])


def test_the_estimate_is_that_of_the_weights_of_that_step(config, run):
    """A run of one epoch ends with the weights that the second epoch begins with."""
    settings = config(**SENSE | {"depth__interval": 4, "learning_rate__decay": "constant"})
    one = config(**SENSE | {"depth__interval": 4, "learning_rate__decay": "constant", "epochs": 1})
    train(one, run, progress=False)
    model, train_images = restore(run).prepared.model, prepare(settings).splits.train
    batches = list(sensing_batches(train_images, settings, step=4))
    expected = sd.budgets.sense(mean_sensitivities(model, batches), 0.4)
    two = run.with_name("two")
    train(settings, two, progress=False)
    estimates = read(two / "checkpoints/last.ckpt")["sense"]["estimates"]
    assert torch.equal(estimates[1], expected)


def test_without_an_interval_the_schedule_stays_as_it_was_at_the_start(config, run):
    settings = config(**SENSE | {"depth__interval": None, "epochs": 1})
    train(settings, run, progress=False)
    wanted = prepare(settings).survival
    assert float(wanted.mean()) == pytest.approx(0.4, abs=1e-6)
    assert torch.equal(restore(run).prepared.handle.survival, wanted)
    assert np.load(run / "gates.npy").shape == (4, 6)
