"""The schedule follows the sensitivities of the network as it is trained."""

import numpy as np
import pytest
import torch

import stochastic_depth as sd
from stochastic_depth.training import SenseMode, prepare, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._prepare import sensing_batches
from stochastic_depth.training._restore import restore
from stochastic_depth.training._sense import mean_sensitivities
from tests.training.test_train import rows

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
