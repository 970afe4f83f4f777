import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stochastic_depth.cli import main

SMALL = [
    "--recipe=demo_digits", "--model.init_args.depth=8", "--model.init_args.width=4", "--limit=60",
    "--data.test_limit=40", "--epochs=2", "--evaluate_every=1", "--threads=1", "--loggers=[]",
]  # fmt: skip


def test_trains_and_prints_the_result(tmp_path, capsys):
    run, copy = tmp_path / "run", tmp_path / "run.json"
    assert main(["train", *SMALL, "--out", str(run), "--json", str(copy), "--progress=false"]) == 0
    printed = capsys.readouterr()
    assert "test error, last epoch" in printed.out
    assert printed.err == ""
    record = json.loads(copy.read_text())
    assert record == json.loads((run / "run.json").read_text())
    assert record["status"] == "finished"


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--flip"], "flip", True),
        (["--recipe", "huang2016_cifar10", "--no-flip"], "flip", False),
        (["--limit", "12"], "limit", 12),
        (["--limit=12"], "limit", 12),
        (["--image-size", "16"], "image_size", 16),
        (["--data", "cifar100"], "name", "cifar100"),
        (["--data.data_dir", "/somewhere", "--data=svhn"], "data_dir", "/somewhere"),
    ],
)
def test_short_options_of_the_data(options, field, value, monkeypatch):
    from stochastic_depth.cli import train as module

    seen = []

    def train(config, out: Path, json: Path | None = None, progress: bool = True) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(module, "train", train)
    assert main(["train", "--recipe=demo_digits", *options, "--out=run"]) == 0
    assert getattr(seen[0].data, field) == value


def test_a_network_stands_for_a_recipe(monkeypatch):
    from stochastic_depth.cli import train as module

    seen = []

    def train(config, out: Path | None = None, json: Path | None = None, progress: bool = True):
        seen.append((config, out))
        return 0

    place = module._place
    monkeypatch.setattr(module, "train", train)
    assert main(["train", "timm/resnet10t", "--data", "./photos", "--epochs=3"]) == 0
    (config, out), *_ = seen
    assert (config.name, config.epochs, config.data.name) == ("photographs", 3, "./photos")
    assert dict(config.model.init_args)["name"] == "timm/resnet10t"
    assert (out, place(config)) == (None, Path("runs/photographs-resnet10t"))


BAD = {
    "unknown network": (["--model=timm/resnet17", "--out=run"], "Did you mean 'resnet18'?"),
    "unknown option": (
        ["--out=run", "--epoch=3"],
        "--epoch is not an option of sdepth train. Did you mean 'epochs'",
    ),
    "unknown field": (["--out=run", "--data.limt=3"], "Did you mean 'data.limit'"),
    "unknown recipe": (["--out=run", "--recipe=demo_digit"], "Did you mean 'demo_digits'"),
    "unknown schedule": (["--out=run", "--depth.schedule=lin"], "Did you mean 'linear'"),
    "unknown model": (
        ["--out=run", "--model=stochastic_depth.models.CifarResNe"],
        "Did you mean 'CifarResNet'",
    ),
    "unknown data": (["--out=run", "--data=cifar11"], "Did you mean 'cifar10'"),
    "missing data": (["--out=run", "--data=./nowhere"], "nowhere"),
    "probability": (["--out=run", "--depth.last=1.5"], r"last must be in \[0, 1\]; got 1.5"),
    "not a number": (["--out=run", "--depth.last=.nan"], "must be a number; got NaN"),
    "wrong length": (
        [
            "--out=run",
            "--depth.schedule=fixed",
            "--depth.last=null",
            "--depth.probabilities=[0.5,0.5]",
        ],
        "num_blocks must be 2",
    ),
    "budget": (["--out=run", "--depth.last=null", "--depth.budget=0.1"], r"budget must be in \["),
    "two levels": (["--out=run", "--depth.budget=0.8"], "Pass null for the others"),
    "type of the model": (
        ["--out=run", "--model.init_args.depth=deep"],
        r"model\.init_args\.depth must be a whole number; got 'deep'\.$",
    ),
    "argument of the model": (
        ["--out=run", "--model.init_args.widht=3"],
        r"widht is not an argument of stochastic_depth\.models\.CifarResNet\. Did you mean 'width'",
    ),
    "optimizer": (
        ["--out=run", "--optimizer=torch.optim.SDG"],
        r"optimizer must be the import path of a class or function; .* Did you mean 'SGD'",
    ),
    "optimizer that is a number": (
        ["--out=run", "--optimizer=3"],
        "optimizer must be an import path, or a mapping of class_path and init_args; got '3'",
    ),
    "path of the optimizer": (
        ["--out=run", "--optimizer={class_path: 3}"],
        "optimizer must be an import path, or a mapping .*; got '{class_path: 3}'",
    ),
    "logger": (
        ["--out=run", "--loggers=[3]"],
        r"loggers must be a list of mappings .*; got '\[3\]'",
    ),
    "path of a logger": (
        ["--out=run", "--loggers=[{class_path: 3}]"],
        "class_path must be an import path; got 3",
    ),
    "arguments of a logger": (
        ["--out=run", "--loggers=[{class_path: torch.nn.Linear, init_args: 3}]"],
        "init_args must be a mapping of arguments; got 3",
    ),
    "logger without a path": (
        ["--out=run", "--loggers=[{}]"],
        r"loggers must be a list of class_path, init_args; got \{\} in it\. missing a required",
    ),
    "switch": (["--out=run", "--data.flip=maybe"], "flip must be true or false; got 'maybe'"),
    "optional": (["--out=run", "--limit=x"], "limit must be a whole number or null; got 'x'"),
    "list": (["--out=run", "--depth.points=3"], "points must be a list such as"),
    "group": (["--out=run", "--depth=3"], "depth must be a mapping of its fields, or a file"),
    "field of a group": (
        ["--out=run", '--depth={"lats": 3}'],
        "depth.lats is not a field. Did you mean 'depth.last'",
    ),
    "no value": (["--out=run", "--epochs"], "--epochs must be followed by a value; got none"),
    "type": (["--out=run", "--epochs=many"], "epochs must be a whole number; got 'many'"),
    "too many images": (["--out=run", "--limit=5000"], "data.limit"),
    "depth": (["--out=run", "--model.init_args.depth=21"], "depth must be 6n"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_usage_is_one_line_and_writes_nothing(name, tmp_path, monkeypatch, capsys):
    options, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    assert main(["train", *SMALL, *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sdepth: ")
    assert captured.err.count("\n") == 1
    assert re.search(message, captured.err)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_run(tmp_path, capsys):
    out = f"--out={tmp_path / 'run'}"
    assert main(["train", *SMALL, out, "--progress=false"]) == 0
    capsys.readouterr()
    assert main(["train", *SMALL, out, "--seed=5"]) == 2
    assert "seed is 0 there and 5 here" in capsys.readouterr().err


def test_the_written_configuration_is_a_recipe(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["train", *SMALL, f"--out={first}", "--progress=false"]) == 0
    recipe = str(first / "config.yaml")
    assert main(["train", "--recipe", recipe, f"--out={second}", "--progress=false"]) == 0
    written = [yaml.safe_load((run / "config.yaml").read_text()) for run in (first, second)]
    assert written[0] == written[1]


def test_nothing_of_lightning_reaches_the_user(tmp_path):
    program = Path(sys.executable).with_name("sdepth")
    done = subprocess.run(
        [program, "train", *SMALL, "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONWARNINGS": "default"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo_digits" in done.stdout
    assert "epoch 2" in done.stdout
