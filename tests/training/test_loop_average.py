"""Label smoothing and the average of the weights, against formulas written out."""

import pytest
import torch
from torch.nn.functional import log_softmax

import stochastic_depth as sd
from stochastic_depth.training import prepare, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._loop import Training, training_batches

DECAY = 0.6


def states(run) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the weights and their average, from the last checkpoint."""
    state = read(run / "checkpoints" / "last.ckpt")
    return state["model"], state["average"]


def smoothed(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The cross entropy of targets of which a share is spread over all classes."""
    classes = logits.shape[1]
    targets = torch.full_like(logits, smoothing / classes)
    targets[torch.arange(len(labels)), labels] += 1 - smoothing
    return -(targets * log_softmax(logits, 1)).sum(1).mean()


def bare_loop(config):
    """Train and average in a for loop."""
    prepared = prepare(config)
    model, batches = prepared.model, training_batches(prepared.splits.train, config)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, **config.optimizer.init_args)
    average, step = None, 0
    for epoch in range(config.epochs):
        for index in range(len(batches)):
            images, labels = batches.batch(epoch, index)
            prepared.handle.step = step
            if config.depth.curriculum != "constant":
                prepared.handle.survival = prepared.curriculum(step / prepared.num_steps)
            optimizer.param_groups[0]["lr"] = prepared.rate(step)
            loss = smoothed(model(images), labels, config.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay = min(DECAY, 1 - (1 + step) ** (-2 / 3))
            now = {key: value.double() for key, value in model.state_dict().items()}
            average = now if average is None else {
                key: decay * average[key] + (1 - decay) * value for key, value in now.items()
            }  # fmt: skip
            step += 1
    if config.depth.curriculum != "constant":  # evaluated at the end of training
        prepared.handle.survival = prepared.curriculum(1.0)
    return prepared, average


def assert_close(measured: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert measured.keys() == expected.keys()
    for key, value in expected.items():
        if measured[key].is_floating_point():
            torch.testing.assert_close(measured[key].double(), value.double(), rtol=1e-4, atol=1e-5)


SETTINGS = {
    "constant": {},
    "moving law": {"depth__curriculum": "warmup", "depth__until": 1.0, "depth__last": 0.2},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_evaluated_is_the_average(name, config, run):
    settings = config(label_smoothing=0.2, ema_decay=DECAY, **SETTINGS[name])
    record = train(settings, run, progress=False)
    prepared, average = bare_loop(settings)
    weights, averaged = states(run)
    assert_close(weights, prepared.model.state_dict())
    assert_close(averaged, average)
    prepared.model.load_state_dict(averaged)
    test = prepared.splits.test
    with torch.no_grad():
        logits = prepared.model.eval()(test.inputs(torch.arange(len(test))))
    error = 100 * float((logits.argmax(1) != test.labels).double().mean())
    assert record["summary"]["test_error_last"] == pytest.approx(error)


def test_a_resumed_run_has_the_same_average(config, tmp_path, monkeypatch):
    settings = config(ema_decay=DECAY)
    train(settings, tmp_path / "whole", progress=False)

    class Killed(BaseException):
        pass

    end = Training._end_of_epoch

    def killed(self, epoch, leaving):
        end(self, epoch, leaving)
        if epoch == 1:
            raise Killed

    monkeypatch.setattr(Training, "_end_of_epoch", killed)
    with pytest.raises(Killed):
        train(settings, tmp_path / "halves", progress=False)
    monkeypatch.setattr(Training, "_end_of_epoch", end)
    train(settings, tmp_path / "halves", progress=False)
    for whole, resumed in zip(states(tmp_path / "whole"), states(tmp_path / "halves"), strict=True):
        assert whole
        assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_values_out_of_range(config):
    with pytest.raises(sd.InvalidArgument, match=r"ema_decay must be in \[0, 1\); got 1"):
        config(ema_decay=1.0)
    with pytest.raises(sd.InvalidArgument, match=r"label_smoothing must be in \[0, 1\]; got 2"):
        config(label_smoothing=2.0)
