import json

import pytest

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.cli.reproduce import reproduce
from stochastic_depth.papers import titles


def test_list_names_every_artefact(capsys):
    assert reproduce(list=True) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in titles())


def test_writes_and_prints_the_claims(tmp_path, capsys):
    code = reproduce("hayou2021/lemma1", "cpu", tmp_path / "out", json=tmp_path / "r.json")
    assert code == 0
    assert "held" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["artefact"] == "hayou2021/lemma1"
    assert (tmp_path / "out/figure.svg").exists()


def test_needs_a_name():
    with pytest.raises(InvalidArgument, match="artefact must be given"):
        reproduce()
