"""A comparison or a sweep on the terminal; plain text if the output is not a terminal."""

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from ..experiments import Comparison, Sweep
from ._summary import conclusions
from ._text_tables import Table, differences_table, measures_table, runs_table, seeds_table


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print what differs, the tables and the conclusions.

    Args:
        comparison: The runs.
        console: Where to print; the standard output by default.
    """
    console = console or Console(markup=False, emoji=False)
    tables = [differences_table(comparison), seeds_table(comparison), measures_table(comparison)]
    if comparison.unfinished or comparison.failures:
        tables.append(runs_table(comparison))
    for table in tables:
        if table.rows:
            console.print(rendered(table))
    for conclusion in conclusions(comparison):
        console.print(Text(conclusion.sentences[0], style="bold"))
        for sentence in conclusion.sentences[1:]:
            console.print(Text(sentence))


def rendered(table: Table) -> RichTable:
    """Return a table for the terminal."""
    rendered = RichTable(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        justify: JustifyMethod = "right" if table.numeric and index > 0 else "left"
        rendered.add_column(Text(column), justify=justify, overflow="fold")
    for row in table.rows:
        rendered.add_row(*map(Text, row))
    rendered.add_section()
    for row in table.totals:
        rendered.add_row(*map(Text, row), style="bold")
    return rendered


def print_sweep(sweep: Sweep, console: Console | None = None) -> None:
    """Print the tables of a sweep.

    Args:
        sweep: The runs of a grid.
        console: Where to print; the standard output by default.
    """
    console = console or Console(markup=False, emoji=False)
    console.print(_cells(sweep))
    contrasts = _contrasts(sweep)
    if contrasts.rows:
        console.print(contrasts)
        console.print(
            "Intervals of 95 % and two-sided p by Student's t, paired by seed, not corrected for "
            "their number.",
            soft_wrap=True,
        )
    for key, error in sweep.comparison.failures.items():
        console.print(Text(f"{key} failed: {error}", style="red"), soft_wrap=True)


def _cells(sweep: Sweep) -> RichTable:
    measure = sweep.decided_by
    columns = {measure: measure.replace("_", " ") + ", %", "live_share": "live share of blocks"}
    title = "Cells, mean ± standard deviation over seeds"
    table = _new_table(title, list(sweep.axes), ["runs", *columns.values()])
    for row in sweep.cells().iter_rows(named=True):
        spreads = [_spread(row[f"{name}_mean"], row[f"{name}_std"]) for name in columns]
        table.add_row(*(str(row[axis]) for axis in sweep.axes), str(row["n"]), *spreads)
    return table


def _contrasts(sweep: Sweep) -> RichTable:
    numbers = ["difference", "95 % interval", "seeds", "p"]
    table = _new_table("Along each axis, in points", ["contrast", "at"], numbers)
    for row in sweep.contrasts().iter_rows(named=True):
        contrast = f"{row['axis']}: {row['baseline']} − {row['value']}"
        interval = "" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"
        p = "" if row["p"] is None else f"{row['p']:.2g}"
        mean = "" if row["difference"] is None else f"{row['difference']:+.2f}"
        table.add_row(contrast, row["at"], mean, interval, str(row["n"]), p)
    return table


def _new_table(title: str, texts: list[str], numbers: list[str]) -> RichTable:
    table = RichTable(*texts, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _spread(mean: float | None, std: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"
