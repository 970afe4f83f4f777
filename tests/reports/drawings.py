"""What a figure draws, for tests."""

from typing import Any

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import Figure, figures


def rows(specification: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """Return the rows of the data set of a specification that has these columns."""
    for table in specification["datasets"].values():
        if table and set(columns) <= table[0].keys():
            return table
    raise LookupError(columns)


def figure(runs: Comparison, name: str) -> Figure:
    return next(figure for figure in figures(runs) if figure.name == name)
