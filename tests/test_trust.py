"""Files of others call nothing that they should not."""

import pytest
import yaml

from stochastic_depth import InvalidArgument
from stochastic_depth._trust import importing_only, require_trusted, require_trusted_names
from stochastic_depth.cli import main
from stochastic_depth.training import Component, load
from stochastic_depth.training._recipes import RECIPES

PROGRAM = {"class_path": "os.system", "init_args": {"command": "touch harm"}}
HARM = {
    "transforms": ({"data": {"transforms": [PROGRAM]}}, "data.transforms"),
    "loggers": ({"loggers": [PROGRAM]}, "loggers"),
    "model": ({"model": PROGRAM}, "model"),
    "optimizer": ({"optimizer": PROGRAM}, "optimizer"),
    "schedule": ({"depth": {"schedule": "os.system", "last": 0.5}}, "depth.schedule"),
    "law": ({"depth": {"law": "os.system", "last": 0.5}}, "depth.law"),
    "curriculum": ({"depth": {"curriculum": "os.system", "last": 0.5}}, "depth.curriculum"),
    "argument": (
        {"model": {"class_path": "torchvision.models.ResNet", "init_args": {"block": "os.system"}}},
        "model",
    ),
}


def recipe(tmp_path, changes):
    path = tmp_path / "recipe.yaml"
    values = yaml.safe_load((RECIPES / "demo_digits.yaml").read_text())
    path.write_text(yaml.safe_dump(values | changes))
    return path


@pytest.mark.parametrize(("changes", "field"), HARM.values(), ids=HARM)
def test_validate_imports_nothing_else(changes, field, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["validate", str(recipe(tmp_path, changes))]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sdepth: {field}")
    assert "got 'os.system'. Only if you trust that code, pass --trust os." in said
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(("changes", "field"), HARM.values(), ids=HARM)
def test_what_is_no_part_of_a_run_is_called_by_no_verb(changes, field, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=field):
        load(recipe(tmp_path, changes))
    assert main(["validate", str(recipe(tmp_path, changes)), "--trust=os"]) == 2
    assert not (tmp_path / "harm").exists()


def test_a_module_is_not_even_imported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger.py").write_text("open('harm', 'w').close()\nclass Net: pass\n")
    changes = {"model": {"class_path": "stranger.Net"}}
    assert main(["validate", str(recipe(tmp_path, changes))]) == 2
    assert main(["plan", "stranger.Net", "--last=0.5"]) == 2
    assert "pass --trust stranger" in capsys.readouterr().err
    assert not (tmp_path / "harm").exists()
    assert main(["plan", "stranger.Net", "--last=0.5", "--trust", "stranger"]) == 2
    assert "model must be the import path of a torch module" in capsys.readouterr().err
    assert (tmp_path / "harm").exists()


def test_trust_is_of_a_module_and_what_is_in_it():
    require_trusted("model", "anything.at.all")
    with importing_only(["mine.models"]):
        require_trusted("model", "mine.models.Net")
        require_trusted("model", "torch.nn.Linear")
        for path in ("mine.Net", "mine.modelsX.Net", "torchX.Net", "os.system"):
            with pytest.raises(InvalidArgument, match=f"got '{path}'"):
                require_trusted("model", path)
    require_trusted("model", "os.system")


def test_texts_that_are_no_import_paths_are_left_alone():
    with importing_only([]):
        for text in ("epoch_7.pth", "data/os.path", "./os.path", "a sentence. Another", "0.5"):
            require_trusted_names("model", {"init_args": [text]})
        with pytest.raises(InvalidArgument, match=r"^model\.init_args must be imported"):
            require_trusted_names("model", {"init_args": ["subprocess.run"]})


@pytest.mark.parametrize(
    ("path", "ok"),
    [
        ("torch.nn.Linear", True),
        ("torchvision.models.resnet18", True),  # says that it returns one
        ("torch.hub.load", False),
        ("torch.optim.SGD", False),
        ("subprocess.run", False),
    ],
)
def test_what_it_makes_is_known_before_it_is_called(path, ok):
    import torch

    component = Component(path)
    if ok:
        assert component.require("model", torch.nn.Module, "a module") is component
    else:
        with pytest.raises(
            InvalidArgument, match=rf"model must be the import path of a module.*{path}"
        ):
            component.require("model", torch.nn.Module, "a module")


def test_a_file_may_be_called_like_a_module(tmp_path, monkeypatch, capsys):
    (tmp_path / "page.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for words in (["--out=page.html"], ["--out", "page.html"], ["page.html"]):
        assert main(["report", "nowhere", *words]) == 2
        assert "--trust" not in capsys.readouterr().err
