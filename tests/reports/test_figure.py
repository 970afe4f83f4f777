"""Figures: every one of them is there once, and can be rendered."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import Figure, figures
from tests.experiments.records import write_run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def all_drawn(runs: Comparison) -> list[Figure]:
    return figures(runs)


def test_every_figure_is_there_once(all_drawn: list[Figure]) -> None:
    names = [figure.name for figure in all_drawn]
    assert len(set(names)) == len(names)
    assert set(names) == {
        "seeds",
        "test_error",
        "train_error",
        "validation_error",
        "test_loss",
        "train_loss",
        "passes-stochastic",
        "gates-stochastic",
        "depth",
        "survival",
        "timing",
        "gradient",
    }


def test_every_figure_renders_on_the_page_and_alone(
    all_drawn: list[Figure], tmp_path: Path
) -> None:
    for drawn in all_drawn:
        still = drawn.still()
        root = ElementTree.fromstring(still)  # noqa: S314  # our own drawing
        assert root.tag.endswith("svg")
        assert "var(--" in still
        assert 'opacity="0"' not in still  # nothing that only a pointer would show
        svg, png = drawn.save(tmp_path)
        assert drawn.title in svg.read_text()
        assert "var(--" not in svg.read_text()
        assert png.read_bytes().startswith(PNG)
        assert drawn.caption
        assert drawn.description


def test_a_drawing_alone_has_a_dark_form_and_no_long_line(all_drawn: list[Figure]) -> None:
    for drawn in all_drawn:
        root = ElementTree.fromstring(drawn.svg())  # noqa: S314  # our own drawing
        style = root[0].text or ""
        assert style.startswith("@media (prefers-color-scheme:dark){")
        colours = {node.get(key) for node in root.iter() for key in ("fill", "stroke")}
        ground = root.find("{*}rect")
        assert ground is not None
        assert ground.get("fill") == "#ffffff"
        for colour in colours - {None, "none", "transparent"}:
            assert f'[fill="{colour}"]' in style, f"{drawn.name}: {colour} has no dark value"
        lines = ["".join(node.itertext()) for node in root.iter("{*}tspan")]
        assert max(map(len, lines), default=0) <= 85


def test_every_vertical_axis_names_its_quantity(all_drawn: list[Figure]) -> None:
    for drawn in all_drawn:
        text = drawn.svg()
        titles = [node for node in text.split("<") if 'class="mark-text role-axis-title' in node]
        assert len(titles) >= 2, drawn.name


def test_constant_depth_alone_has_no_figures_of_random_depth(tmp_path: Path) -> None:
    write_run(tmp_path / "run", variant="constant", last=1.0)
    names = {figure.name for figure in figures(Comparison.read(tmp_path))}
    assert not names & {"gates-constant", "passes-constant", "depth", "survival"}
    assert "test_error" in names


def test_a_run_without_epochs_has_no_figures(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", status="running")
    (directory / "metrics.csv").unlink()
    (directory / "gates.npy").unlink()
    assert figures(Comparison.read(directory)) == []
