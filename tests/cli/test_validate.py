import re

import pytest

from stochastic_depth.cli import main
from stochastic_depth.training import load, train

SMALL = {
    "model.init_args.depth": 8, "model.init_args.width": 4, "data.limit": 60, "epochs": 2,
    "data.test_limit": 40, "threads": 1, "loggers": [],
}  # fmt: skip
OPTIONS = ["--recipe=demo_digits", *(f"--{name}={value}" for name, value in SMALL.items())]


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_says_what_would_be_trained(capsys):
    assert main(["validate", *OPTIONS]) == 0
    printed = words(capsys.readouterr().out)
    assert "CifarResNet: 3 blocks, 3 droppable, 0 protected" in printed
    assert "60 images to train on, 0 to validate, 40 to test, 1x8x8, 10 classes" in printed
    assert "2.00 of 3 blocks expected" in printed
    assert "2 epochs of 2 steps, batches of 32" in printed
    assert "rises to 0.05 in 5 epochs, then falls from it along a cosine to 0" in printed


def test_says_when_the_rate_falls(capsys):
    options = ["--learning_rate.decay=milestones", "--learning_rate.milestones=[0.5]"]
    options += ["--epochs=20", "--learning_rate.warmup_epochs=0", "--depth.enabled=false"]
    assert main(["validate", *OPTIONS, *options]) == 0
    printed = words(capsys.readouterr().out)
    assert "0.05 in epochs 1-9, 0.005 in epochs 10-20" in printed
    assert "depth constant, 3 blocks" in printed


def test_says_what_is_in_the_directory(tmp_path, capsys):
    run = tmp_path / "run"
    for expected in ("a new run", "finished: nothing to do"):
        assert main(["validate", *OPTIONS, f"--out={run}"]) == 0
        assert expected in words(capsys.readouterr().out)
        train(load("demo_digits", SMALL), run, progress=False)


def test_says_where_a_run_would_be_resumed(tmp_path, monkeypatch, capsys):
    from stochastic_depth.training._measurements import Measurements

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Measurements, "summary", lambda *_: 1 / 0)  # after training, before the end
        with pytest.raises(ZeroDivisionError, match="division"):
            train(load("demo_digits", SMALL), run, progress=False)
    assert main(["validate", *OPTIONS, f"--out={run}"]) == 0
    assert "it would be resumed after step 4" in words(capsys.readouterr().out)


def test_refuses_what_training_would_refuse(tmp_path, capsys):
    (tmp_path / "other.txt").write_text("")
    assert main(["validate", *OPTIONS, f"--out={tmp_path}"]) == 2
    assert "it holds other files" in capsys.readouterr().err
    assert main(["validate", *OPTIONS, "--depth.last=2"]) == 2
    assert "last must be in [0, 1]" in capsys.readouterr().err
