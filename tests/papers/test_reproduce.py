import importlib
import json
import pkgutil
import subprocess
import sys

import polars as pl
import pytest

from stochastic_depth import papers
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.papers import Context, load, reproduce


def test_every_artefact_is_named_after_its_variable():
    for name, title in papers.titles().items():
        artefact = papers.load(name)
        assert artefact.name == name
        assert title.endswith(".")
        assert set(artefact.profiles) == {"smoke", "cpu", "paper"}


def test_no_artefact_is_without_a_title():
    """What a module holds but `titles` does not find could not be asked for."""
    held = {
        value.name
        for module in pkgutil.walk_packages(papers.__path__, prefix="stochastic_depth.papers.")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, papers.Artefact)
    }
    assert held == set(papers.titles())
    assert len(held) == 49


def test_names_are_listed_without_importing_what_they_name():
    program = "import sys; from stochastic_depth import papers; print(len(papers.titles()));"
    program += "print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    number, modules = run.stdout.splitlines()
    assert int(number) == 49
    assert "stochastic_depth.papers._registry" in modules.split()
    # Nor what artefacts stand on: a list of names is there at once.
    assert {"torch", "altair", "stochastic_depth.papers.hayou2021"} & set(modules.split()) == set()


def test_a_misspelt_name_is_met_with_the_nearest():
    with pytest.raises(InvalidArgument, match="Did you mean 'hayou2021/lemma1'"):
        papers.load("hayou2021/lema1")


FILES = ["data.parquet", "figure.html", "figure.png", "figure.svg", "report.html", "result.json"]
FIELDS = {"artefact", "source", "profile", "seed", "seconds", "hardware", "versions", "claims"}
CLAIM = {"name", "expected", "source", "measured", "standard_error", "n", "tolerance", "holds"}


def test_writes_the_record_the_data_and_the_figure(tmp_path):
    result = reproduce(load("hayou2021/lemma1"), "cpu", Context(seed=5))
    result.write(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == FILES
    record = json.loads((tmp_path / "new/result.json").read_text())
    assert record.keys() >= FIELDS
    assert record["seed"] == 5
    assert all(claim.keys() >= CLAIM for claim in record["claims"])
    assert pl.read_parquet(tmp_path / "new/data.parquet").equals(result.outcome.data)
    assert (tmp_path / "new/figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "new/figure.svg").read_text()


def test_the_page_needs_no_network(tmp_path):
    reproduce(load("hayou2021/lemma1"), "smoke").write(tmp_path)
    for name in ("figure.html", "report.html"):
        page = (tmp_path / name).read_text()
        assert 'src="http' not in page
        assert "half width" in page
