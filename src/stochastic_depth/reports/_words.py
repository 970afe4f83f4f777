"""Phrases that tables, captions and summaries share."""

from collections.abc import Sequence

from ..experiments import Comparison, PairedDifference, Spread

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


def estimate(difference: PairedDifference, unit: str, decimals: int = 2) -> str:
    """Return a mean difference with its unit, its interval and its number of seeds.

    Example:
        >>> estimate(PairedDifference((3.0, 3.5, 2.5)), "points")
        '+3.00 points (95 % interval +1.76 to +4.24, 3 seeds)'
    """
    known = f"95 % interval {span(difference, decimals)}, " if difference.interval else ""
    mean = f"{difference.spread.mean:+.{decimals}f} {unit}"
    return f"{mean} ({known}{counted(difference.n, 'seed')})"


def span(difference: PairedDifference, decimals: int = 2) -> str:
    """Return the interval of a mean difference, or a dash where there is none."""
    if difference.interval is None:
        return NOTHING
    low, high = difference.interval
    return f"{low:+.{decimals}f} to {high:+.{decimals}f}"


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
