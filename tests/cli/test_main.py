import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from stochastic_depth import InvalidArgument
from stochastic_depth.cli import VERBS, main
from stochastic_depth.cli._help import TOPICS


def test_help_names_every_verb(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert all(f"  {verb} " in printed for verb in VERBS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sdepth 0.")


def test_the_package_runs_as_a_module(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stochastic_depth", "--version"])
    # Collecting doctests may have imported it, under its own name.
    monkeypatch.delitem(sys.modules, "stochastic_depth.__main__", raising=False)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("stochastic_depth", run_name="__main__")
    assert capsys.readouterr().out.startswith("sdepth 0.")


def test_an_unknown_verb(capsys):
    assert main(["trian"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("sdepth: verb must be one of plan, train,")
    assert captured.err.endswith("got 'trian'. Did you mean 'train'?\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(f"usage: sdepth {verb}")
    assert f"Example: sdepth {verb}" in printed
    assert "known subclasses" not in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["demo_digits", "--out=run"], {"recipe": "demo_digits"}),
        (["--recipe", "demo_digits", "--out", "run"], {"recipe": "demo_digits"}),
        (["demo_digits", "--batch-size=7", "--out=my-run"], {"batch_size": 7}),
        (
            ["demo_digits", "--checkpoint-every-steps", "3", "--out=a"],
            {"checkpoint_every_steps": 3},
        ),
    ],
)
def test_the_subject_comes_first_and_options_may_have_hyphens(arguments, expected, monkeypatch):
    from stochastic_depth.cli import train as module

    seen = []

    def train(config, out: Path, json: Path | None = None, progress: bool = True) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(module, "train", train)
    assert main(["train", *arguments]) == 0
    (config,) = seen
    fields = {"recipe": config.name, **vars(config)}
    assert expected.items() <= fields.items()


def test_several_subjects(monkeypatch):
    from stochastic_depth.cli import report as module

    seen = []

    def report(runs: list[Path], out: Path | None = None) -> int:
        seen.append((runs, out))
        return 0

    monkeypatch.setattr(module, "report", report)
    assert main(["report", "first", "second", "--out=page.html"]) == 0
    assert seen == [([Path("first"), Path("second")], Path("page.html"))]


def test_a_second_subject_is_refused(capsys):
    assert main(["train", "demo_digits", "another", "--out=run"]) == 2
    assert "'another' is one word too many" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (
            InvalidArgument("p must be\n  in [0, 1]; got 2."),
            2,
            "sdepth: p must be in [0, 1]; got 2.\n",
        ),
        (PermissionError(13, "Permission denied", "/runs"), 2, "'/runs'\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_exit_status(error, status, printed, monkeypatch, capsys):
    from stochastic_depth.cli import validate as module

    def fail(config, out=None):
        raise error

    monkeypatch.setattr(module, "validate", fail)
    fail.__name__ = "validate"
    assert main(["validate", "--recipe", "demo_digits"]) == status
    assert capsys.readouterr().err.endswith(printed)


def test_a_bug_is_not_hidden(monkeypatch):
    from stochastic_depth.cli import validate as module

    def validate(config, out=None):
        raise RuntimeError("a bug")

    monkeypatch.setattr(module, "validate", validate)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["validate", "--recipe", "demo_digits"])


def test_the_core_alone_says_what_the_program_needs(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    for module in ("stochastic_depth._arguments", "stochastic_depth.cli._parser"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["plan", "--help"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("sdepth: The program needs jsonargparse, which is not there; pip inst")


def test_words_wait_for_no_library_that_computes():
    """Neither help, nor what is misspelt, nor a list of names."""
    explained = ["plan", "report", "reproduce", "bench", "diagnose", "depth-check"]
    words = [[], ["--version"], ["plan"], ["plan", "a", "--last=x"], ["reproduce", "--list"]]
    words += [[verb, "--help"] for verb in explained]
    code = (
        f"import sys; from stochastic_depth.cli import main; [main(words) for words in {words}];"
        "heavy = {'torch', 'numpy', 'lightning', 'polars', 'altair'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused = ["model must be given", "last must be a number"]
    assert all(words in line for words, line in zip(refused, done.stderr.splitlines(), strict=True))
    assert done.returncode == 0


def test_help_is_a_page_and_the_rest_is_by_topic(capsys):
    assert main(["train", "--help"]) == 0
    page = capsys.readouterr().out
    assert len(page.splitlines()) < 70
    assert page.startswith("usage: sdepth train [RECIPE] [options]\n")
    topics = ("data", "depth", "learning_rate", "model", "optimizer", "run")
    assert ", ".join(topics) in " ".join(page.split())
    shown = set(re.findall(r"^  (--[\w.]+)", page, re.MULTILINE))
    assert {"--data.name", "--epochs", "--seed", "--depth.last"} < shown
    by_topic = set()
    for topic in topics:
        assert main(["train", "--help", topic]) == 0
        options = set(re.findall(r"^  (--[\w.]+)", capsys.readouterr().out, re.MULTILINE))
        assert options
        assert options & by_topic == set()
        by_topic |= options
    assert {"--depth.curriculum", "--learning_rate.decay", "--precision"} <= by_topic - shown
    assert main(["train", "--help", "all"]) == 0
    assert set(re.findall(r"^  (--[\w.]+)", capsys.readouterr().out, re.MULTILINE)) == by_topic


def test_help_of_an_unknown_topic(capsys):
    assert main(["train", "--help", "dept"]) == 2
    assert "Did you mean 'depth'?" in capsys.readouterr().err


def test_help_and_plan_do_not_wait_for_training_libraries():
    code = (
        "import sys; from stochastic_depth.cli import VERBS, main; main(['--help']);"
        "import stochastic_depth.cli.plan;"
        "heavy = {'lightning', 'altair', 'polars', 'torchvision'} & set(sys.modules);"
        "print([main([verb, '--help']) for verb in VERBS]);"
        "heavy |= {'lightning', 'torchvision', 'scipy.stats', 'transformers'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_topics_are_documented():
    page = (Path(__file__).parents[2] / "docs/terminal.md").read_text()
    for topic, subject in TOPICS.items():
        assert f"\n| `{topic}` | {subject} |\n" in page


def test_a_switch_needs_no_value(capsys):
    assert main(["reproduce", "--list"]) == 0
    assert "hayou2021/table1" in capsys.readouterr().out
