"""The tables of a comparison as text, for the terminal and the page."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..experiments import Comparison, RunRecord, Spread
from ._recorded import (
    EPOCH_SECONDS,
    LIVE_COST,
    LIVE_SHARE,
    SECONDS,
    TRAIN_ERROR_FINAL,
    TRAIN_ERROR_RUNNING,
    Measure,
)
from ._words import NOTHING, signed, span, written


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the row.

    Args:
        title: What it shows.
        columns: Headings.
        rows: One text per column.
        totals: Rows at the foot, set apart.
        numeric: Whether all columns but the first are numbers.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, ...], ...] = ()
    numeric: bool = True


def seeds_table(comparison: Comparison) -> Table:
    """Return the test error of every seed, and each variant's gain over the baseline."""
    measure, others = comparison.test_error, comparison.variants[1:]
    differences = [comparison.difference(variant, measure) for variant in others]
    spreads = [comparison.spread(variant, measure) for variant in comparison.variants]
    means = [
        *(spread_in_words(spread, measure.decimals) for spread in spreads),
        *(signed(d.spread, measure.decimals) if d else NOTHING for d in differences),
    ]
    spans = [span(d, measure.decimals) if d else NOTHING for d in differences]
    wins = [f"{d.wins} of {d.n}" if d else NOTHING for d in differences]
    totals = [("mean ± std", *means)]
    if others:
        totals.append(("95 % interval", *("",) * len(spreads), *spans))
        totals.append((f"seeds below {comparison.baseline}", *("",) * len(spreads), *wins))
    return Table(
        _capital(measure.title),
        ("seed", *comparison.variants, *(f"{comparison.baseline} − {v}" for v in others)),
        tuple(_seed_row(comparison, seed) for seed in comparison.seeds),
        tuple(totals),
    )


def measures_table(comparison: Comparison) -> Table:
    """Return mean ± std of everything measured, one column per variant."""
    measures = (
        comparison.test_error,
        TRAIN_ERROR_RUNNING,
        TRAIN_ERROR_FINAL,
        SECONDS,
        EPOCH_SECONDS,
    )
    rows = [_measure_row(comparison, measure) for measure in measures]
    ratios = [comparison.ratio(variant, EPOCH_SECONDS) for variant in comparison.variants[1:]]
    rows.append(
        (
            f"median epoch ÷ {comparison.baseline}",
            "1",
            *(spread_in_words(ratio, 3) for ratio in ratios),
        )
    )
    rows.extend(_measure_row(comparison, measure) for measure in (LIVE_COST, LIVE_SHARE))
    return Table("Mean ± std over seeds", ("", *comparison.variants), tuple(rows))


def runs_table(comparison: Comparison) -> Table:
    """Return every run with its status, including failed and unfinished ones."""
    measure = comparison.test_error
    columns = ("run", "state", "epochs", measure.title, SECONDS.title, "directory")
    recorded = {run.key: run for run in comparison.runs}
    rows = [_run_row(comparison, run) for run in comparison.runs]
    rows += [
        (key, f"failed: {failure}", *(NOTHING,) * 4)
        for key, failure in comparison.failures.items()
        if key not in recorded
    ]
    return Table("Runs", columns, tuple(rows), numeric=False)


def differences_table(comparison: Comparison) -> Table:
    """Return the fields of the configuration in which the variants differ."""
    differing = comparison.configuration_differences()
    rows = tuple((name, *map(written, values)) for name, values in differing.items())
    return Table("What differs", ("field", *comparison.variants), rows, numeric=False)


def machine_table(comparison: Comparison) -> Table:
    """Return versions and hardware; several values if runs differ."""
    rows: dict[str, list[str]] = {}
    for run in comparison.runs:
        for name, value in {**run.hardware, **run.versions}.items():
            if value is not None and str(value) not in rows.setdefault(name, []):
                rows[name].append(str(value))
    return facts_table({name: ", ".join(values) for name, values in rows.items() if values})


def facts_table(facts: Mapping[str, object]) -> Table:
    """Return the facts about machine and software."""
    rows = tuple((name, str(value)) for name, value in facts.items() if value is not None)
    return Table("Hardware and versions", ("", ""), rows, numeric=False)


def _seed_row(comparison: Comparison, seed: int) -> tuple[str, ...]:
    measure = comparison.test_error
    runs = [comparison.finished(variant).get(seed) for variant in comparison.variants]
    values = [measure(run) if run else None for run in runs]
    base = values[0]
    gaps = [None if base is None or value is None else base - value for value in values[1:]]
    errors = [_number(value, measure.decimals) for value in values]
    return (str(seed), *errors, *(_number(gap, measure.decimals, "+") for gap in gaps))


def _run_row(comparison: Comparison, run: RunRecord) -> tuple[str, ...]:
    measure, failure = comparison.test_error, comparison.failures.get(run.key)
    return (
        run.key,
        f"failed: {failure}" if failure else run.status,
        str(run.epochs_done),
        _number(measure(run), measure.decimals),
        _number(SECONDS(run), SECONDS.decimals),
        str(run.directory),
    )


def _measure_row(comparison: Comparison, measure: Measure) -> tuple[str, ...]:
    spreads = [comparison.spread(variant, measure) for variant in comparison.variants]
    return (measure.title, *(spread_in_words(spread, measure.decimals) for spread in spreads))


def spread_in_words(spread: Spread | None, decimals: int = 2) -> str:
    """Return mean ± deviation, the mean alone of one run, or a dash."""
    if spread is None:
        return NOTHING
    mean = _number(spread.mean, decimals)
    return mean if spread.n == 1 else f"{mean} ± {_number(spread.std, decimals)}"


def _number(value: float | None, decimals: int, sign: str = "") -> str:
    return NOTHING if value is None else format(value, f"{sign}.{decimals}f")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
