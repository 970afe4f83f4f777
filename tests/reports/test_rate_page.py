"""The answer to which rate: a sentence for every verdict, the table, the figure, the page."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats

from stochastic_depth.experiments import CONSTANT, Comparison, PairedDifference, Rate, Rung
from stochastic_depth.reports import print_rate, write_rate
from stochastic_depth.reports._rate_figure import points, rate_figure
from stochastic_depth.reports._rate_page import candidates_table, headline, sentences
from tests.experiments.records import write_run

MILD, STRONG = "schedule=linear budget=0.9", "schedule=uniform budget=0.6"
LASTS = {CONSTANT: 1.0, MILD: 0.8, STRONG: 0.2}
FRESH = (4, 5, 6)
ERRORS = {  # of seeds 0 to 3, which choose, and of 4 to 6, which judge
    CONSTANT: (54.0, 55.0, 54.5, 53.5, 54.0, 55.0, 54.5),
    MILD: (52.0, 52.5, 53.0, 51.0, 51.0, 52.5, 50.0),
    STRONG: (53.0, 56.0),
}
GAP = PairedDifference((44.0, 45.0, 44.5))
RUNGS = (
    Rung(2, {MILD: 52.25, STRONG: 54.5}, (MILD,)),
    Rung(4, {MILD: 52.125}, (MILD,)),
)


def found(top: Path, judged: tuple[float, ...] = (), **options: object) -> Rate:
    """Return the answer of a search whose choice had these errors on fresh seeds."""
    for variant, errors in ERRORS.items():
        if variant == MILD and judged:
            errors = (*errors[:4], *judged)
        for seed, error in enumerate(errors):
            place = write_run(
                top / f"{len(list(top.iterdir()))}",
                variant=variant, seed=seed, last=LASTS[variant], epochs=4, validation=50,
            )  # fmt: skip
            table = pl.read_csv(place / "metrics.csv")
            table.with_columns(validation_error=pl.lit(error)).write_csv(place / "metrics.csv")
    return Rate(Comparison.read(top), **({"gap": GAP, "worth": 1.0} | options))


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Rate:
    return found(tmp_path_factory.mktemp("runs"), rungs=RUNGS, fresh=FRESH)


def test_a_recommendation_has_its_interval_its_saving_and_its_cost(answer: Rate) -> None:
    assert headline(answer) == (
        f"Use {MILD}: it gains +3.33 points (95 % interval +0.75 to +5.92, 3 seeds) of validation "
        "error."
    )
    said = " ".join(sentences(answer))
    assert "training error at constant depth is +44.50 points (95 % interval +43.26" in said
    assert "p = 0.031 (Student's t" in said
    assert "The search took 16 trainings, " in said
    ratio = answer.time_ratio(MILD)
    assert f"{MILD} trained in {ratio.mean:.2f} ± {ratio.std:.2f} of the time" in said
    assert "On test images, which decide nothing here" in said


CASES = {
    "not shown": (
        (53.0, 56.0, 54.0),
        {"rungs": RUNGS, "fresh": FRESH},
        f"None: {MILD}, the best of 2, cannot be told from constant depth on fresh seeds",
        "at an error that may be 2.75 points lower or 2.42 higher.",
    ),
    "higher": (
        (57.0, 58.5, 57.2),
        {"rungs": RUNGS, "fresh": FRESH},
        f"None: {MILD}, the best of 2, was worse than constant depth on fresh seeds, where it "
        "gains -3.07 points",
        "p = 0.0",
    ),
    "not lower": (
        (),
        {"rungs": RUNGS},
        "None: no candidate had a lower validation error than constant depth.",
        f"The best of 2, {MILD}, gains +2.64 points (95 % interval +1.77",
    ),
    "fits": (
        (),
        {"gap": PairedDifference((0.2, 0.3, 0.25))},
        "None: this network does not overfit here.",
        "less than the 1 point that would be worth having",
    ),
}


@pytest.mark.parametrize(("judged", "options", "first", "more"), CASES.values(), ids=CASES)
def test_no_recommendation_says_why(
    tmp_path: Path, judged: tuple, options: dict, first: str, more: str
) -> None:
    none = found(tmp_path, judged, **options)
    assert none.verdict in CASES
    assert none.recommended is None
    assert headline(none).startswith(first)
    assert more in " ".join(sentences(none))
    assert "<h3>None: " in write_rate(none, tmp_path / "rate.html").read_text()
    assert none.record()["verdict"] == none.verdict


def test_the_table_tells_the_fate_of_each(answer: Rate) -> None:
    table = candidates_table(answer)
    assert [(row[0], row[-1]) for row in table.rows] == [
        (MILD, "best"),
        (STRONG, "dropped at 2 seeds"),
    ]
    mild = np.subtract(ERRORS[CONSTANT], ERRORS[MILD])[:4]
    low, high = stats.ttest_1samp(mild, 0).confidence_interval(0.95)
    assert table.rows[0][1:4] == (f"{mild.mean():+.2f}", f"{low:+.2f} to {high:+.2f}", "4")
    assert table.totals[0][:4] == (f"{MILD}, fresh seeds", "+3.33", "+0.75 to +5.92", "3")


def test_the_figure_has_every_seed_the_means_and_the_judgement(answer: Rate) -> None:
    table = points(answer)
    assert table.group_by("kind", maintain_order=True).len().rows() == [
        ("seed", 6),
        ("mean", 2),
        ("fresh", 1),
    ]
    level = np.mean(ERRORS[CONSTANT][:4])
    chosen = table.filter(kind="mean", name=MILD).row(0, named=True)
    assert chosen["error"] == pytest.approx(np.mean(ERRORS[MILD][:4]))
    judged = table.filter(kind="fresh").row(0, named=True)
    assert judged["error"] == pytest.approx(level - 10 / 3)
    assert (level - judged["high"], level - judged["low"]) == pytest.approx(
        answer.confirmation.interval
    )
    figure = rate_figure(answer)
    assert figure.png().startswith(b"\x89PNG")
    assert f"{MILD} +2.12 points" in figure.description


def test_the_terminal_says_the_same(answer: Rate) -> None:
    console = Console(file=io.StringIO(), width=200)
    print_rate(answer, console)
    text = console.file.getvalue()
    assert headline(answer) in text
    assert "dropped at 2 seeds" in text


def test_what_was_not_tried_and_what_failed_are_named(tmp_path: Path) -> None:
    left_out = {"budget=0.3": "budget must be at least 0.45 here"}
    some = found(tmp_path, rungs=RUNGS, left_out=left_out)
    console = Console(file=io.StringIO(), width=200)
    print_rate(some, console)
    assert "budget=0.3 was left out: budget must be at least 0.45 here" in console.file.getvalue()
