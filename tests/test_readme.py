"""The README says what the committed results say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_its_tables_are_those_of_the_results():
    script = ROOT / "benchmarks" / "readme.py"
    result = subprocess.run([sys.executable, script, "--check"], check=False)
    assert result.returncode == 0, "run: python benchmarks/readme.py"


def test_the_page_of_models_says_what_the_census_says():
    script = ROOT / "benchmarks" / "models_page.py"
    result = subprocess.run([sys.executable, script, "--check"], check=False)
    assert result.returncode == 0, "run: python benchmarks/models_page.py"


def test_it_names_the_two_commands_and_links_to_what_exists():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text
    assert "make test" in text
    links = [part.partition(")")[0] for part in text.split("](")[1:]]
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 3
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_pages_of_the_papers_are_those_of_the_results():
    script = ROOT / "benchmarks" / "claims.py"
    result = subprocess.run([sys.executable, script, "--check"], check=False)
    assert result.returncode == 0, "run: python benchmarks/claims.py"
