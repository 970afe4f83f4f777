import subprocess
import sys

import pytest

from stochastic_depth import papers
from stochastic_depth._errors import InvalidArgument


def test_every_artefact_is_named_after_its_file():
    for name, title in papers.titles().items():
        artefact = papers.load(name)
        assert artefact.name == name
        assert title.endswith(".")
        assert set(artefact.profiles) == {"smoke", "cpu", "paper"}


def test_names_are_listed_without_importing_what_they_name():
    program = "import sys; from stochastic_depth import papers; print(len(papers.titles()));"
    program += "print([m for m in sys.modules if m.startswith('stochastic_depth.papers.')])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    modules = run.stdout.splitlines()[1]
    assert "papers._registry" in modules
    assert "hayou2021" not in modules


def test_a_misspelt_name_is_met_with_the_nearest():
    with pytest.raises(InvalidArgument, match="Did you mean 'hayou2021/lemma1'"):
        papers.load("hayou2021/lema1")
