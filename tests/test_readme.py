"""The README and the pages say what the committed results say."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("program", ["readme", "models_page", "claims"])
def test_tables_are_those_of_the_results(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"benchmarks/{program}.py"
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    assert runpy.run_path(str(ROOT / script))["main"]() == 0, f"run: python {script}"


def test_it_names_the_two_commands_and_links_to_what_exists():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 3
    assert [link for link in local if not (ROOT / link).exists()] == []
