import json

import pytest
import torch

from stochastic_depth import InvalidArgument, RunDirectoryInUse, TrainingDiverged
from stochastic_depth.training import train
from stochastic_depth.training._checkpoint import read

# Two epochs go well; then the rate is absurd.
DIVERGING = {
    "learning_rate__initial": 1e30,
    "learning_rate__decay": "constant",
    "learning_rate__warmup_epochs": 2,
    "learning_rate__warmup_rate": 0.01,
}


@pytest.mark.parametrize("every_steps", [None, 1])
def test_a_diverging_run_keeps_its_last_good_checkpoint(every_steps, config, run):
    with pytest.raises(TrainingDiverged, match=r"must stay finite; .* Lower learning_rate.initial"):
        train(config(**DIVERGING, checkpoint_every_steps=every_steps), run, progress=False)
    step = read(run / "checkpoints" / "last.ckpt")["step"]
    assert step == 8 if every_steps is None else 8 <= step < 12
    for path in (run / "checkpoints").glob("*.ckpt"):
        state = read(path)
        assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "failed"
    assert "must stay finite" in record["error"]
    assert len((run / "metrics.csv").read_text().splitlines()) == 3


def test_a_failed_run_goes_on_from_its_checkpoint_and_fails_again(config, run):
    for _ in range(2):
        with pytest.raises(TrainingDiverged, match="must stay finite"):
            train(config(**DIVERGING), run, progress=False)
    assert read(run / "checkpoints" / "last.ckpt")["step"] == 8


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data__limit": 5000}, "data.limit"),
        ({"model__init_args__depth": 21}, "depth must be 6n \\+ 2"),
        ({"depth__last": None, "depth__budget": 0.1}, "budget must be in"),
        ({"model": "torchvision.models.resnet18"}, r"model ResNet must be a map from images \(1,"),
        ({"model": "torch.nn.Identity"}, "outputs of shape"),
        ({"optimizer__init_args__momentum": -1.0}, "SGD must be called .* Invalid momentum value"),
        ({"accelerator": "mps"}, "accelerator must be one this machine has; got 'mps'"),
        ({"accelerator": "tpu"}, "accelerator must be one of auto, cpu, gpu, mps; got 'tpu'"),
    ],
)
def test_nothing_is_written_before_the_run_could_start(overrides, message, config, run):
    with pytest.raises(ValueError, match=message):
        train(config(**overrides), run, progress=False)
    assert not run.exists()


def test_another_configuration_does_not_touch_the_run(config, run):
    train(config(), run, progress=False)
    before = (run / "run.json").read_text()
    with pytest.raises(RunDirectoryInUse, match="seed is 0 there and 1 here"):
        train(config(seed=1), run, progress=False)
    assert (run / "run.json").read_text() == before


def test_images_of_another_shape(config, run):
    with pytest.raises(InvalidArgument, match="data.image_size must be at least 1"):
        train(config(data__image_size=0), run, progress=False)
