import json

import polars as pl

from stochastic_depth.papers import Context, load, reproduce

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
