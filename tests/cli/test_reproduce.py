import json
from dataclasses import replace

import pytest

from stochastic_depth import papers
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.cli.reproduce import reproduce


def test_list_names_every_artefact(capsys):
    assert reproduce(list=True) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in papers.titles())


def test_writes_and_prints_the_claims(tmp_path, capsys):
    code = reproduce("hayou2021/lemma1", "cpu", tmp_path / "out", json=tmp_path / "r.json")
    assert code == 0
    assert "held" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["artefact"] == "hayou2021/lemma1"
    assert (tmp_path / "out/figure.svg").exists()


def test_needs_a_name():
    with pytest.raises(InvalidArgument, match="artefact must be given"):
        reproduce()


@pytest.mark.parametrize(("runs", "kept"), [(None, "out/runs"), ("shared", "shared")])
def test_runs_are_kept_where_asked_for(tmp_path, monkeypatch, runs, kept):
    """Artefacts that train the same networks may share them."""
    lemma, contexts = papers.load("hayou2021/lemma1"), []

    def run(settings, context):
        contexts.append(context)
        return lemma.run(settings, context)

    monkeypatch.setattr(papers, "load", lambda name: replace(lemma, run=run))
    images = tmp_path / "images"
    reproduce("any", out=tmp_path / "out", data_dir=images, runs=runs and tmp_path / runs)
    assert contexts[0].directory == tmp_path / kept
    assert contexts[0].data == images
