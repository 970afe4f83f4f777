"""Silence on request, and scripts for completion."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from stochastic_depth.cli import VERBS, main
from stochastic_depth.cli._quiet import quiet


def test_quiet_writes_and_does_not_print(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["hayou2021/lemma1", "--profile", "smoke", "--out", str(tmp_path)]
    assert main(["reproduce", *words, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "report.html").exists()
    assert main(["reproduce", *words]) == 0
    assert "lemma1" in capsys.readouterr().out


def test_quiet_still_tells_errors(capsys: pytest.CaptureFixture) -> None:
    assert main(["reproduce", "hayou2021/lemma9", "--quiet"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_quiet_hides_progress_and_still_warns(capsys: pytest.CaptureFixture) -> None:
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("always")
        print("so far", file=sys.stderr)
        warnings.warn("the newest checkpoint is damaged", stacklevel=1)
    said = capsys.readouterr().err
    assert "the newest checkpoint is damaged" in said
    assert "so far" not in said


def test_a_pipe_gets_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["reproduce", "hayou2021/lemma1", "--profile", "smoke", "--out", str(tmp_path)])
    assert "\x1b" not in capsys.readouterr().out


def test_completion_knows_verbs_and_options(capsys: pytest.CaptureFixture) -> None:
    assert main(["--completion", "bash"]) == 0
    script = capsys.readouterr().out
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    ask = "COMP_WORDS=({}); COMP_CWORD={}; _shtab_sdepth; echo ${{COMPREPLY[@]}};"
    asked = ask.format('sdepth ""', 1) + ask.format("sdepth train --ep", 2)
    done = subprocess.run([bash, "-c", script + asked], capture_output=True, text=True, check=True)
    verbs, options = done.stdout.splitlines()
    assert set(VERBS) <= set(verbs.split())
    assert options == "--epochs"


def test_completion_of_an_unknown_shell(capsys: pytest.CaptureFixture) -> None:
    assert main(["--completion", "fish"]) == 2
    assert "shell must be one of bash, zsh, tcsh; got 'fish'" in capsys.readouterr().err
