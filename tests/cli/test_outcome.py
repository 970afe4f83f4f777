"""Where results go: checked before the work, and said as it is called."""

import os
from pathlib import Path

import pytest

from stochastic_depth import InvalidArgument
from stochastic_depth.cli import main
from stochastic_depth.cli._outcome import print_place, require_places, terminal

ODD = ("run[/b]", "[red]x[/red]", ":smile:", "a [link=x] b", "name " * 60 + "end")


@pytest.mark.parametrize("name", ODD)
def test_a_path_is_text_on_one_line(name, capsys):
    print_place(Path(name))
    assert capsys.readouterr().out == f"Written to {name}\n"
    terminal().print(name, soft_wrap=True)
    assert capsys.readouterr().out == f"{name}\n"


def test_a_name_that_is_no_text(capsys):
    print_place(Path(os.fsdecode(b"run-\xff")))
    assert capsys.readouterr().out == "Written to run-\\xff\n"


@pytest.mark.parametrize("name", ODD[:3])
def test_training_where_the_path_looks_like_markup(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--model.init_args.depth=8", "--model.init_args.width=2", "--limit=40"]
    options += ["--data.test_limit=40", "--epochs=1", "--threads=1", "--loggers=[]"]
    assert main(["train", "demo_digits", *options, f"--out={name}", f"--name={name}"]) == 0
    assert f"Written to {name}\n" in capsys.readouterr().out
    assert main(["report", name, "--out", f"{name}.html"]) == 0
    assert Path(f"{name}.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"json": "nowhere/x.json"}, r"json must be in a directory that is there; got .*nowhere/x"),
        ({"json": "."}, r"json must be a file; got .*, a directory"),
        ({"json": "file/x.json"}, "json must be in a directory that is there"),
        ({"out": "file/run"}, r"out must be in a directory; got .*file/run; .*file is a file"),
        ({"figures": "file/a/b"}, "figures must be in a directory"),
    ],
)
def test_places_are_checked_before_the_work(options, said, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match=said):
        require_places({name: tmp_path / path for name, path in options.items()})


def test_a_read_only_place(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for name in ("out", "json"):
        with pytest.raises(
            InvalidArgument, match=rf"{name} must be where files can be written.*read-only"
        ):
            require_places({name: tmp_path / "new"})


def test_nothing_is_trained_for_a_place_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "demo_digits", "--out=run", "--json=nowhere/x.json"]) == 2
    assert "got nowhere/x.json. Create its directory first." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_beside_the_page_is_left_alone(tmp_path):
    from stochastic_depth.reports._page import write_whole

    (tmp_path / "page.partial").write_text("mine")
    write_whole("<p>", tmp_path / "page.html")
    assert (tmp_path / "page.partial").read_text() == "mine"
    assert (tmp_path / "page.html").read_text() == "<p>"
