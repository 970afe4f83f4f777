"""What is said: the winner that the figures name, and no more certainty than n allows."""

import dataclasses
import json
import statistics
from pathlib import Path

import polars as pl
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import Conclusion, conclusions
from tests.experiments.records import comparison, write_comparison, write_run

# Test errors of constant and stochastic depth, seed by seed, and what must (not) be said.
CASES = {
    "wins in all of few": (
        [(54.0, 51.0), (55.0, 52.5), (54.5, 50.0)],
        "The test error of stochastic was lower than that of constant: constant − stochastic = "
        "+3.33 points (95 % interval +0.75 to +5.92, 3 seeds).",
        "Lower in 3 of 3 seeds; p = 0.031 (Student's t, paired by seed, two-sided).",
    ),
    "loses in all of few": (
        [(19.0, 22.0), (19.5, 23.0), (19.2, 22.9)],
        "was higher than that of constant: constant − stochastic = -3.40 points",
        "Lower in 0 of 3 seeds; p = 0.0037",
    ),
    "two seeds": (
        [(19.0, 22.0), (19.5, 24.0)],
        "No clear difference in test error: constant − stochastic = -3.75 points "
        "(95 % interval -13.28 to +5.78, 2 seeds)",
        "Lower in 0 of 2 seeds; p = 0.13",
    ),
    "mixed": (
        [(5.0, 5.5), (5.0, 4.0), (6.0, 5.0)],
        "No clear difference in test error: constant − stochastic = +0.50 points "
        "(95 % interval -1.65 to +2.65, 3 seeds)",
        "Lower in 2 of 3 seeds; p = 0.42",
    ),
    "one seed": (
        [(5.0, 4.0)],
        "No clear difference in test error: constant − stochastic = +1.00 points (1 seed).",
        "One seed cannot show",
    ),
    "equal": ([(5.0, 5.0), (5.0, 5.0)], "No clear difference", "All 2 differences are equal"),
    "one far off": (
        [(80, 10), *((5, 6 + k / 10) for k in range(11))],
        "No clear difference",
        "Lower in 1 of 12 seeds; p = 0.47",
    ),
}


def with_errors(top: Path, pairs: list[tuple[float, float]]) -> Comparison:
    """Write a comparison and put these test errors into its records."""
    write_comparison(top, seeds=tuple(range(len(pairs))), epochs=2)
    for seed, pair in enumerate(pairs):
        for variant, error in zip(("constant", "stochastic"), pair, strict=True):
            file = top / variant / f"seed-{seed}/run.json"
            run = json.loads(file.read_text())
            run["summary"]["test_error_last"] = error
            file.write_text(json.dumps(run))
    return Comparison.read(top)


@pytest.mark.parametrize(("pairs", "headline", "certainty"), CASES.values(), ids=CASES)
def test_the_winner_is_who_wins(
    tmp_path: Path, pairs: list[tuple[float, float]], headline: str, certainty: str
) -> None:
    (conclusion,) = conclusions(with_errors(tmp_path, pairs))
    assert headline in conclusion.headline
    assert certainty in conclusion.certainty


def test_time_stands_beside_the_live_share(tmp_path: Path) -> None:
    runs = comparison(tmp_path)
    (conclusion,) = conclusions(runs)
    medians = {run.key: statistics.median(run.metrics["seconds"]) for run in runs.runs}
    ratios = [medians[f"stochastic/seed-{k}"] / medians[f"constant/seed-{k}"] for k in range(3)]
    shares = [run.summary.live_share for run in runs.finished("stochastic").values()]
    assert f"took {sum(ratios) / 3:.2f} of the time of one of constant" in conclusion.time
    assert f"{100 * sum(shares) / 3:.0f} % of the blocks of stochastic" in conclusion.time
    assert conclusion.sentences[-1] == conclusion.time  # the errors differ clearly
    unclear = dataclasses.replace(conclusion, clear=False)
    assert unclear.sentences[:2] == (conclusion.time, conclusion.headline)


def test_a_time_that_no_skipping_explains_is_not_sold_as_one(tmp_path: Path) -> None:
    top = write_comparison(tmp_path, seeds=(0, 1))
    assert "busy" not in conclusions(Comparison.read(top))[0].time
    for file in top.glob("constant/*/metrics.csv"):
        table = pl.read_csv(file)
        table.with_columns(seconds=2 * pl.col("seconds")).write_csv(file)
    assert "the machine was busy with something else" in conclusions(Comparison.read(top))[0].time


def test_one_verdict_for_each_variant_but_the_baseline(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=(0, 1))
    for seed in (0, 1):
        write_run(tmp_path / f"mild/seed-{seed}", variant="mild", seed=seed, last=0.8)
    found = [conclusion.variant for conclusion in conclusions(Comparison.read(tmp_path))]
    assert found == ["mild", "stochastic"]


def test_several_comparisons_are_not_corrected_and_it_says_so(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=tuple(range(6)))
    (alone,) = conclusions(Comparison.read(tmp_path))
    assert "not corrected" not in alone.certainty
    for seed in range(6):
        write_run(tmp_path / f"mild/seed-{seed}", variant="mild", seed=seed, last=0.8)
    for conclusion in conclusions(Comparison.read(tmp_path)):
        assert "two-sided, not corrected for 2 comparisons)" in conclusion.certainty


def test_nothing_is_said_before_a_pair_has_finished(tmp_path: Path) -> None:
    (conclusion,) = conclusions(comparison(tmp_path, seeds=(0,), status="running"))
    waiting = "No seed of both constant and stochastic has finished yet."
    assert conclusion == Conclusion("stochastic", waiting, "", "", "")
    assert conclusion.sentences == (waiting,)
