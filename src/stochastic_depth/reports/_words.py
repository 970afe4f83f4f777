"""Phrases that tables, captions and summaries share."""

from collections.abc import Sequence

from ..experiments import Comparison, Spread

NOTHING = "–"


def counted(number: int, noun: str) -> str:
    """Return the number and the noun.

    Example:
        >>> counted(1, "seed"), counted(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listing(items: Sequence[str]) -> str:
    """Return the items as a person would list them.

    Example:
        >>> listing(["constant", "linear", "uniform"])
        'constant, linear and uniform'
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def signed(spread: Spread, decimals: int = 2) -> str:
    """Return a mean difference with its sign, and its deviation where there are two or more."""
    mean = f"{spread.mean:+.{decimals}f}"
    return mean if spread.n == 1 else f"{mean} ± {spread.std:.{decimals}f}"


def provenance(comparison: Comparison) -> str:
    """Return the data set and its sizes, for captions."""
    data = comparison.runs[0].data
    what = "sequences" if comparison.runs[0].is_text else "images"
    sizes = f"{data['train']:,} training and {data['test']:,} test {what}"
    return f"{data['name']}, {sizes}, {counted(len(comparison.seeds), 'seed')}."


def written(value: object) -> str:
    """Return a value of a configuration as one would write it in YAML.

    Example:
        >>> written(True), written(0.5), written(None)
        ('true', '0.5', '–')
    """
    if value is None:
        return NOTHING
    return str(value).lower() if isinstance(value, bool) else str(value)
