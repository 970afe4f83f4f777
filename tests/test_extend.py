"""The package of docs/extend.md, as written there: in a plan, a sweep, a page and a figure."""

import re
import tomllib
from itertools import product
from pathlib import Path

import pytest
import torch

from stochastic_depth import InvalidArgument, papers, theory
from stochastic_depth.cli import main
from stochastic_depth.experiments import Comparison
from stochastic_depth.papers import _registry
from tests.theory.networks import batch, smooth, square, targets

PAGE = Path(__file__).parent.parent / "docs/extend.md"
FILE = re.compile(r'^```\w+ title="(.*?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
CIFAR = ["stochastic_depth.models.CifarResNet", "--arguments={depth: 20, num_classes: 10}"]
OWN = ["--schedule=mylab.depth.EveryOther", "--budget=0.8"]


def install(folder, monkeypatch):
    """Put the files of the page where Python finds them, with their entry points."""
    files = dict(FILE.findall(PAGE.read_text()))
    assert set(files) == {"pyproject.toml", "mylab/depth.py", "mylab/doe2030.py"}
    for name, text in {**files, "mylab/__init__.py": ""}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    project = tomllib.loads(files["pyproject.toml"])["project"]
    add_entry_points(folder, project["entry-points"]["stochastic_depth.papers"])
    monkeypatch.syspath_prepend(folder)


def add_entry_points(folder, papers):
    information = folder / "mylab-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name, module in papers.items()]
    text = "\n".join(["[stochastic_depth.papers]", *lines, ""])
    (information / "entry_points.txt").write_text(text)


@pytest.fixture
def package(tmp_path, monkeypatch):
    _registry._places.cache_clear()
    install(tmp_path, monkeypatch)
    yield tmp_path
    _registry._places.cache_clear()


def test_the_law_is_what_it_says(package):
    """Over all 2^5 vectors; the number of blocks is odd."""
    from mylab.depth import Pairs

    law = Pairs([0.8, 0.3, 1.0, 0.5, 0.6], rescale="none")
    active = torch.tensor(list(product([False, True], repeat=5))).T
    chances, gates = law.probability(active), active.double()
    assert chances.sum().item() == pytest.approx(1)
    mean = gates @ chances
    torch.testing.assert_close(mean, law.survival)
    covariance = (gates * chances) @ gates.T - torch.outer(mean, mean)
    torch.testing.assert_close(law.covariance, covariance)
    f, x, y = smooth(), batch(), targets()["square"]
    wide = Pairs([*law.survival.tolist(), 0.5])  # the network has six blocks
    losses = [
        float(wide.probability(d[:, None])) * float(square(f(x, d * wide.value), y).detach())
        for d in torch.tensor(list(product([False, True], repeat=6)))
    ]
    found = theory.expected_loss(f, x, y, square, wide, "exact")
    assert found.value == pytest.approx(sum(losses), rel=1e-9)
    drawn = law.sample(4000, generator=torch.Generator().manual_seed(0)).bool()
    seen = (drawn[:, None] == active[:, :, None]).all(0).double().mean(1)
    assert (seen[chances == 0] == 0).all()
    # Pearson's statistic under the law; 11 of 32 vectors occur. Beyond 35 in 1 of 10^4 seeds.
    possible = chances > 0
    statistic = 4000 * ((seen - chances)[possible] ** 2 / chances[possible]).sum()
    assert int(possible.sum()) == 12
    assert float(statistic) < 37.4


def test_a_plan_names_the_schedule(package, capsys):
    assert main(["plan", *CIFAR, *OWN, "--trust=mylab"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("0.550 (0.450)") == 4
    assert "expected blocks 7.20 of 9" in printed
    assert main(["plan", *CIFAR, *OWN]) == 2
    assert "pass --trust mylab" in capsys.readouterr().err


def test_a_sweep_trains_under_them_and_the_page_names_them(package, tmp_path):
    out = tmp_path / "runs"
    small = ["--epochs=1", "--data.limit=32", "--data.test_limit=32", "--model.init_args.depth=8"]
    small += ["--depth.curriculum=mylab.depth.full_at_the_end", "--model.init_args.width=2"]
    grid = ["schedule=mylab.depth.EveryOther", "law=bernoulli,mylab.depth.Pairs", "budget=0.8"]
    words = ["sweep", "demo_digits", *small, "--parallel=1", f"--out={out}", "--grid", *grid]
    assert main(words) == 0
    runs = Comparison.read(out).runs
    laws = {run.config["depth"]["law"] for run in runs}
    assert laws == {"bernoulli", "mylab.depth.Pairs"}
    assert {run.config["depth"]["schedule"] for run in runs} == {"mylab.depth.EveryOther"}
    assert main(["report", str(out)]) == 0
    assert "law=mylab.depth.Pairs" in (out / "report.html").read_text()


def test_a_figure_of_its_own_is_listed_and_published(package, tmp_path, capsys):
    assert main(["reproduce", "--list"]) == 0
    assert "doe2030/figure1" in capsys.readouterr().out
    assert papers.titles()["doe2030/figure1"].startswith("Figure 1: how many blocks run")
    assert "hayou2021/lemma1" in papers.titles()
    words = ["reproduce", "doe2030/figure1", "--profile=cpu", f"--out={tmp_path / 'out'}"]
    assert main(words) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "Of 1 claim 1 held" in page
    assert "Figure 1: how many blocks run where neighbours share a coin" in page
    assert papers.load("mylab.doe2030.figure1") is papers.load("doe2030/figure1")
    with pytest.raises(InvalidArgument, match=r"artefact must be an Artefact; got <class 'mylab"):
        papers.load("mylab.depth.Pairs")
    with pytest.raises(InvalidArgument, match="artefact must be the import path .* 'figure1'"):
        papers.load("mylab.doe2030.figure2")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"doe2030": "mylab.no.such"}, "The paper doe2030 cannot be read: No module named"),
        ({"doe2030": "mylab_"}, "The paper doe2030 of mylab_ has no source files"),
        ({"hayou2021": "json"}, "The paper hayou2021 of json is there already"),
    ],
)
def test_a_paper_that_cannot_be_read_keeps_nobody_from_the_others(
    entry, complaint, tmp_path, monkeypatch
):
    _registry._places.cache_clear()
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab/__init__.py").touch()
    add_entry_points(tmp_path, entry)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match=complaint):
        assert "hayou2021/lemma1" in papers.titles()
    _registry._places.cache_clear()
