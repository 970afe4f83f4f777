"""Every Python block of the README and of the documentation runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param("".join(BLOCK.findall(page.read_text())), id=page.name)
    for page in PAGES
    if BLOCK.search(page.read_text())
]


def test_there_are_blocks_to_run():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("program", BLOCKS)
def test_the_blocks_of_a_page_run_one_after_another(program, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "<page>", "exec"), {})  # noqa: S102


def test_every_floor_with_public_names_has_a_page_of_the_api():
    pages = "\n".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    floors = [path.parent.name for path in (ROOT / "src/stochastic_depth").glob("*/__init__.py")]
    public = sorted(set(floors) - {"cli"})
    assert len(public) >= 12
    assert [floor for floor in public if f"::: stochastic_depth.{floor}\n" not in pages] == []


def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f": {page}\n" not in contents] == []
