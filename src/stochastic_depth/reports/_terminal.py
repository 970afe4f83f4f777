"""A comparison on the terminal; plain text where the output is not one."""

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from ..experiments import Comparison
from ._summary import verdicts
from ._tables import Table, differences_table, measures_table, runs_table, seeds_table


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print what differs, the tables and the verdicts.

    Args:
        comparison: The runs.
        console: Where to print; the standard output by default.
    """
    console = console or Console()
    tables = [differences_table(comparison), seeds_table(comparison), measures_table(comparison)]
    if comparison.unfinished or comparison.failures:
        tables.append(runs_table(comparison))
    for table in tables:
        if table.rows:
            console.print(rendered(table))
    for verdict in verdicts(comparison):
        console.print(Text(verdict.headline, style="bold"))
        for sentence in verdict.sentences[1:]:
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
