"""The scripts of a page are bundled once."""

from importlib.metadata import version

import pytest
import vl_convert

from stochastic_depth.reports import _vega


@pytest.fixture
def bundled(monkeypatch, tmp_path):
    """Return the list of bundles made; each is a text of its own."""
    made = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        vl_convert, "javascript_bundle", lambda: made.append(f"script {len(made)}") or made[-1]
    )
    return made


def anew():
    _vega.library.cache_clear()
    try:
        return _vega.library()
    finally:
        _vega.library.cache_clear()


def test_a_second_process_finds_what_the_first_has_kept(bundled, tmp_path):
    assert [anew(), anew()] == ["script 0", "script 0"]
    (kept,) = (tmp_path / "cache/stochastic_depth").iterdir()
    assert kept.name == f"vega-{version('vl-convert-python')}.js"


def test_where_nothing_can_be_kept_it_is_made_again(bundled, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert [anew(), anew()] == ["script 0", "script 1"]
