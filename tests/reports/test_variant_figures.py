"""Charts of variants: they draw what the records say."""

from pathlib import Path

import numpy as np
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import figures
from stochastic_depth.reports._variant_figures import errors_and_shares, pairwise
from tests.experiments.records import write_run
from tests.reports.drawings import figure, rows

LASTS = {"constant": 1.0, "mild": 0.8, "strong": 0.2}


def compared(top: Path, seeds: int, variants: dict[str, float] = LASTS) -> Comparison:
    for variant, last in variants.items():
        for seed in range(seeds):
            write_run(top / variant / str(seed), variant=variant, last=last, seed=seed)
    return Comparison.read(top)


def test_points_are_means_and_bars_one_deviation(tmp_path: Path) -> None:
    runs = compared(tmp_path, seeds=3)
    table = errors_and_shares(runs)
    assert table["variant"].to_list() == list(runs.variants)
    for row in table.iter_rows(named=True):
        summaries = [run.summary for run in runs.finished(row["variant"]).values()]
        errors = np.array([summary.test_error_last for summary in summaries])
        assert row["error"] == pytest.approx(errors.mean())
        assert row["high"] - row["low"] == pytest.approx(2 * errors.std(ddof=1))
        assert row["share"] == pytest.approx(np.mean([s.live_share for s in summaries]))


def test_the_matrix_has_every_pair_with_its_sign(tmp_path: Path) -> None:
    runs = compared(tmp_path, seeds=6)
    table = pairwise(runs)
    assert table.height == 6
    means = {v: runs.spread(v, runs.test_error).mean for v in runs.variants}
    for row in table.iter_rows(named=True):
        gap = means[row["variant"]] - means[row["against"]]
        assert float(row["text"].split()[0]) == pytest.approx(gap, abs=0.006)
        assert row["direction"] == ("lower" if gap < 0 else "higher")
        found = runs.difference(row["against"], runs.test_error, row["variant"])
        assert row["clear"] == (found.p < 0.05)
        assert row["seeds"] == f"{sum(gap < 0 for gap in found.differences)} of 6 seeds"
    both = table["clear"].to_list()
    assert any(both)


def test_two_variants_have_no_matrix_and_three_have(tmp_path: Path) -> None:
    two = {variant: LASTS[variant] for variant in ("constant", "strong")}
    assert not {"budget", "pairs"} & {f.name for f in figures(compared(tmp_path / "2", 1, two))}
    drawn = {f.name: f for f in figures(compared(tmp_path / "3", 1))}
    assert {"budget", "pairs"} <= drawn.keys()
    assert "strong" in drawn["budget"].description
    for name in ("budget", "pairs"):
        assert drawn[name].png().startswith(b"\x89PNG")
        assert "<svg" in drawn[name].still()


def test_points_by_seed_are_the_deciding_errors(runs: Comparison) -> None:
    points = rows(figure(runs, "seeds").specification(), "seed", "error")
    expected = {(run.variant, run.seed, run.summary.test_error_at_best) for run in runs.runs}
    assert {tuple(point.values()) for point in points} == expected
