"""A run is diagnosed as its checkpoint has it."""

import math

import pytest
import torch

import stochastic_depth as sd
from stochastic_depth.experiments import diagnose
from stochastic_depth.surgery._hidden_states import block_gradients
from stochastic_depth.training import load, train
from stochastic_depth.training._restore import restore

FIELDS = {
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "data.limit": 64,
    "data.test_limit": 40,
    "epochs": 2,
    "learning_rate.warmup_epochs": 0,
    "checkpoint_every": 1,
    "loggers": [],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    train(load("demo_digits", FIELDS), directory, progress=False)
    return directory


def test_the_network_of_the_checkpoint_is_diagnosed(run):
    found = diagnose(run, samples=40, masks=20)
    model, splits = found.restored.prepared.model, found.restored.prepared.splits
    assert (found.images, found.samples, found.restored.step) == ("test", 40, 4)
    x, y = splits.test.inputs(torch.arange(40)), splits.test.labels
    with torch.no_grad():
        expected = float(torch.nn.functional.cross_entropy(model(x), y))
    assert found.theory.loss == pytest.approx(expected, rel=1e-5)
    assert torch.equal(found.theory.law.survival, sd.schedules.linear(0.5)(6))
    assert found.predicted_growth is None
    assert found.growth.log.shape == (7,)
    weights = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["model"]
    assert torch.equal(weights["head.weight"], model.head.weight)


def test_a_checkpoint_names_its_run(run):
    assert restore(run / "checkpoints" / "previous.ckpt").step == 2


def test_a_run_of_constant_depth_has_no_noise(tmp_path):
    fields = FIELDS | {"depth.enabled": False, "epochs": 1}
    train(load("demo_digits", fields), tmp_path / "run", progress=False)
    found = diagnose(tmp_path / "run", samples=16)
    assert found.theory.noise is None
    assert found.theory.cost.shape == (6,)


def test_the_survival_is_that_of_the_curriculum_at_the_checkpoint(tmp_path):
    fields = FIELDS | {"depth.curriculum": "warmup", "depth.until": 1.0}
    train(load("demo_digits", fields), tmp_path / "run", progress=False)
    survival = restore(tmp_path / "run/checkpoints/previous.ckpt").prepared.handle.survival
    assert torch.allclose(survival, (1 + sd.schedules.linear(0.5)(6)) / 2)


@pytest.mark.parametrize(("branch", "tolerance"), [("res-3", 0.2), ("res-1", 0.2)])
def test_growth_is_predicted_at_initialisation(branch, tolerance, tmp_path):
    """With a learning rate of 0 the weights stay; 40 blocks, width 100, a = L^-1/4, 64 images:
    the log growth 40 log(1 + p a^2 / 2) within 0.2, about 5 of its standard errors."""
    network = {
        "class_path": "stochastic_depth.models.ScaledResNet",
        "init_args": {"depth": 40, "width": 100, "inputs": 64, "outputs": 10, "beta": 0.25},
    }
    network["init_args"]["branch"] = branch
    fields = FIELDS | {"model": network, "epochs": 1, "learning_rate.initial": 1e-12}
    del fields["model.init_args.depth"], fields["model.init_args.width"]
    fields |= {"depth.schedule": "uniform", "depth.last": 0.7, "depth.rule": "huang"}
    train(load("demo_digits", fields), tmp_path / "run", progress=False)
    found = diagnose(tmp_path / "run", samples=40, masks=20)
    predicted = 40 * math.log1p(0.7 * 40**-0.5 / 2)
    assert float(found.predicted_growth[0]) == pytest.approx(predicted)
    assert float(found.growth.log[0]) == pytest.approx(predicted, abs=tolerance)


def test_gradients_between_blocks_against_hand_made_ones():
    torch.manual_seed(0)
    model = sd.models.ScaledResNet(3, width=5, inputs=4, outputs=2).double()
    x, y = torch.randn(6, 4).double(), torch.randint(2, (6,))
    gates = torch.tensor([0.5, 0.0, 2.0]).double()
    loss = torch.nn.functional.cross_entropy
    h = model.encoder(x)
    states = [h]
    for block, gate in zip(model.blocks, gates, strict=True):
        states.append(states[-1] + 3**-0.5 * gate * block.branch(states[-1]))
    gradients = torch.autograd.grad(loss(model.decoder(states[-1]), y), states)
    expected = torch.stack([g.square().sum(1) for g in gradients])
    assert torch.allclose(block_gradients(model, x, y, loss, gates), expected)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "must be a run directory or a checkpoint in one; there is no"),
        ("empty", "must hold a checkpoint; it has none yet"),
    ],
)
def test_refusals(place, message, run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/config.yaml").write_text((run / "config.yaml").read_text())
    with pytest.raises(sd.CheckpointError, match=message):
        diagnose(tmp_path / place)


def test_too_few_masks_are_refused(run):
    with pytest.raises(sd.InvalidArgument, match="at least 20 per test; got 7"):
        diagnose(run, samples=16, masks=7)
