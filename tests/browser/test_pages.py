"""The pages in a browser: what a reader does on them works, and nothing leaves them.

Needs Debian's Chromium and the Python package `playwright`; skipped where either is missing.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stochastic_depth import papers
from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import write_page
from tests.experiments.records import write_comparison

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

if CHROMIUM is None:
    pytest.skip("needs Chromium: apt install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs: pip install playwright")

# One artefact of each paper that computes in less than a second; the others train networks.
ARTEFACTS = ("hayou2021/figure3", "marion2022/figure6")
LIVE = "document.querySelectorAll('.chart.vega-embed').length"


@dataclass
class Visit:
    """A page that was opened, with what it asked for and complained of."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(path.as_uri())

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def enliven(self) -> None:
        """Scroll to every chart and wait until it answers the pointer."""
        charts = self.page.locator(".chart")
        for index in range(charts.count()):
            charts.nth(index).scroll_into_view_if_needed()
        self.page.wait_for_function(f"{LIVE} === {charts.count()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = write_comparison(tmp_path_factory.mktemp("demo"), validation=500)
    return write_page(Comparison.read(top), top / "report.html")


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield Visit(page)
    page.close()


def nothing_left(visit: Visit, path: Path) -> None:
    """Require that the page asked for itself alone and complained of nothing."""
    asked = [url for url in visit.requests if not url.startswith(("data:", "blob:"))]
    assert asked == [path.as_uri()]
    assert visit.complaints == []


def test_a_point_answers_the_pointer(visit: Visit, demo: Path) -> None:
    visit.open(demo)
    visit.enliven()
    point = visit.page.locator("#seeds .mark-symbol path").first
    point.scroll_into_view_if_needed()
    point.hover()
    tip = visit.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "seed" in tip.inner_text()
    nothing_left(visit, demo)


def test_an_entry_of_the_legend_hides_a_variant_in_every_chart(visit: Visit, demo: Path) -> None:
    visit.open(demo)
    visit.enliven()
    points = visit.page.locator("#seeds .role-mark.mark-symbol path")
    assert points.count() == 6
    box = visit.page.get_by_label("stochastic", exact=True)
    box.focus()
    visit.page.keyboard.press("Space")
    visit.page.wait_for_function(
        "document.querySelectorAll('#seeds .role-mark.mark-symbol path').length === 3"
    )
    assert visit.page.locator("#test_error .role-mark.mark-line path").count() == 1
    visit.page.keyboard.press("Space")
    visit.page.wait_for_function(
        "document.querySelectorAll('#seeds .role-mark.mark-symbol path').length === 6"
    )
    nothing_left(visit, demo)


def test_the_contents_lead_to_their_sections(visit: Visit, demo: Path) -> None:
    visit.open(demo)
    links = visit.page.locator("nav a")
    for index in range(links.count()):
        links.nth(index).click()
        target = links.nth(index).get_attribute("href").removeprefix("#")
        assert visit.page.url.endswith(f"#{target}")
        section = visit.page.locator(f"#{target}")
        visit.page.wait_for_function(
            "id => { const y = document.getElementById(id).getBoundingClientRect().top;"
            "return y >= -1 && y < innerHeight; }",
            arg=target,
        )
        assert section.is_visible()
    nothing_left(visit, demo)


def test_the_keyboard_skips_to_the_summary(visit: Visit, demo: Path) -> None:
    visit.open(demo)
    visit.page.keyboard.press("Tab")
    skip = visit.page.locator(":focus")
    assert skip.inner_text() == "Skip to the summary"
    assert skip.bounding_box()["x"] >= 0
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "summary"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_does_not_scroll_sideways(browser: Any, demo: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900}, color_scheme=scheme)
    visit = Visit(page)
    visit.open(demo)
    visit.enliven()
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    ground, ink = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    assert (sum(map(int, ground[4:-1].split(","))) < 384) == (scheme == "dark")
    assert ground != ink
    nothing_left(visit, demo)
    page.close()


def test_without_scripts_the_page_is_complete(browser: Any, demo: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(demo.as_uri())
    charts, drawings = page.locator(".chart"), page.locator(".chart svg")
    assert charts.count() == drawings.count() > 5
    page.close()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_the_page_of_a_paper(visit: Visit, tmp_path: Path, name: str) -> None:
    result = papers.reproduce(papers.load(name), "smoke")
    path = tmp_path / "report.html"
    path.write_text(result.page(), encoding="utf-8")
    visit.open(path)
    visit.enliven()
    assert visit.page.locator("tbody tr").count() > len(result.claims)
    visit.page.locator("nav a", has_text="Claims").click()
    assert visit.page.url.endswith("#claims")
    nothing_left(visit, path)
