"""The page: complete, the same figures as the records, and nothing from outside."""

import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from stochastic_depth.experiments import Comparison, Plan
from stochastic_depth.reports import Figure, figures, page, write_page
from tests.experiments.records import comparison, write_run

NOTES = "**Regularisation.** With flips a tie.\n\n| seeds | gap |\n|---|---|\n| 10 | +3.24 |\n"
COMMAND = "sdepth compare demo --variant 'a<b' --out runs/demo"


class Elements(HTMLParser):
    """Collects what the tests ask about: elements with their attributes, and text by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    plan = Plan("demo", {}, (0, 1, 2), 2, 1, command=COMMAND, notes=NOTES)
    return dataclasses.replace(comparison(tmp_path_factory.mktemp("runs")), plan=plan)


@pytest.fixture(scope="module")
def html(runs: Comparison) -> str:
    return page(runs)


@pytest.fixture(scope="module")
def elements(html: str) -> Elements:
    return Elements(html)


@pytest.fixture
def words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawings, which take seconds."""
    monkeypatch.setattr(Figure, "still", lambda figure: "")


def test_nothing_is_loaded_from_outside(elements: Elements, html: str) -> None:
    for _, attributes in elements.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    styles = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles
    table = re.search(r'id="specifications">(.*?)</script>', html).group(1)
    assert '"url"' not in table


def test_all_sections_are_there_and_the_contents_lead_to_them(elements: Elements) -> None:
    anchors = {attributes.get("id") for _, attributes in elements.elements}
    assert {"summary", "effect", "pictures", "runs", "repeat", "machine"} <= anchors
    links = [link["href"] for link in elements.all("a")]
    assert len(links) >= 6
    assert {link.removeprefix("#") for link in links} <= anchors


def test_figures_of_the_page_are_those_of_the_records(runs: Comparison, elements: Elements) -> None:
    by_variant = {
        variant: np.array([run.summary.test_error_last for run in runs.finished(variant).values()])
        for variant in runs.variants
    }
    for errors in by_variant.values():
        assert f"{errors.mean():.2f} ± {errors.std(ddof=1):.2f}" in elements.text
        assert all(f"{error:.2f}" in elements.text for error in errors)
    gaps = by_variant["constant"] - by_variant["stochastic"]
    assert f"+{gaps.mean():.2f} ± {gaps.std(ddof=1):.2f}" in elements.text
    half = stats.t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    interval = f"{gaps.mean() - half:+.2f} to {gaps.mean() + half:+.2f}"
    assert (
        f"{gaps.mean():+.2f} points (95 % interval {interval}, {len(gaps)} seeds)" in elements.text
    )
    for name in ("seconds", "train_error_running", "train_error_final", "live_share"):
        values = [getattr(run.summary, name) for run in runs.finished("stochastic").values()]
        decimals = {"seconds": 1, "live_share": 3}.get(name, 2)
        assert (
            f"{np.mean(values):.{decimals}f} ± {np.std(values, ddof=1):.{decimals}f}"
            in elements.text
        )


def test_notes_command_configuration_and_machine(elements: Elements) -> None:
    assert "With flips a tie." in elements.text
    assert "+3.24" in elements.text
    assert COMMAND in elements.text
    assert "image_size: 16" in elements.text
    for value in ("Some CPU", "2.15.0", "3.11.7"):
        assert value in elements.text


def test_every_figure_has_a_picture_a_description_and_a_specification(
    runs: Comparison, elements: Elements, html: str
) -> None:
    table = json.loads(re.search(r'id="specifications">(.*?)</script>', html).group(1))
    names = [figure.name for figure in figures(runs)]
    pictures = [each for each in elements.all("div") if each.get("class") == "chart"]
    assert sorted(each["data-figure"] for each in pictures) == sorted(names) == sorted(table)
    assert all(each["role"] == "img" and each["aria-label"] for each in pictures)
    assert len(elements.all("svg")) == len(names)
    assert len(elements.all("figcaption")) == len(names)


def test_tables_and_boxes_can_be_read_without_seeing(elements: Elements) -> None:
    assert len(elements.all("table")) == len(elements.all("caption")) + 1  # the one of the notes
    assert all(cell.get("scope") for cell in elements.all("th")[:3])
    assert {box["value"] for box in elements.all("input")} == {"constant", "stochastic"}
    assert elements.all("html")[0]["lang"] == "en"


def test_text_cannot_become_markup(tmp_path: Path) -> None:
    name = "</script><b>"
    write_run(tmp_path / "one", variant="constant", last=1.0, error="")
    write_run(tmp_path / "two", variant=name)
    html = page(Comparison.read(tmp_path))
    assert name not in html
    assert html.count("</script>") == 3


@pytest.mark.usefixtures("words_alone")
def test_notes_cannot_become_markup_either(runs: Comparison) -> None:
    plan = dataclasses.replace(runs.plan, notes="<script>alert(1)</script>")
    assert "<script>alert" not in page(dataclasses.replace(runs, plan=plan))


@pytest.mark.usefixtures("words_alone")
def test_departures_from_the_recipe_are_named(runs: Comparison) -> None:
    plan = dataclasses.replace(runs.plan, changes={"data.flip": True})
    html = page(dataclasses.replace(runs, plan=plan))
    assert "These runs change the recipe that the notes speak of: data.flip = true" in html


@pytest.mark.usefixtures("words_alone")
def test_failed_and_running_runs_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="constant", last=1.0)
    write_run(tmp_path / "b", status="running")
    write_run(tmp_path / "c", seed=1, status="failed", error="the loss became NaN in step 7")
    text = Elements(page(Comparison.read(tmp_path))).text
    assert "1 run failed. 1 run not finished yet." in text
    assert "failed: the loss became NaN in step 7" in text


def test_page_of_runs_that_have_just_begun(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status="running")
    (directory / "metrics.csv").unlink()
    text = Elements(page(Comparison.read(tmp_path))).text
    assert "1 run not finished yet." in text
    assert "Pictures" not in text


def test_long_comparison_stays_below_five_megabytes(tmp_path: Path) -> None:
    runs = comparison(tmp_path, seeds=(0, 1, 2, 3), epochs=500, num_blocks=54)
    assert len(page(runs).encode()) < 5e6


def test_page_is_written_whole(runs: Comparison, tmp_path: Path) -> None:
    path = write_page(runs, tmp_path / "new" / "report.html")
    assert path.read_text().rstrip().endswith("</html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
