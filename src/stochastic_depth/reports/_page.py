"""The page of a comparison: a single file that opens without a network."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt

from .._files import write_text
from ..experiments import Comparison
from ._curves import curve_figures, gradient_figures, timing_figure
from ._figure import Figure, as_json
from ._live_depth import depth_figures
from ._recorded import first_runs
from ._summary import Conclusion, conclusions
from ._text_tables import differences_table, machine_table, measures_table, runs_table, seeds_table
from ._theme import DARK, LIGHT, SERIES
from ._variant_figures import variant_figures
from ._vega import library
from ._words import counted, listing, written

LONGEST_TITLE = 100

TEMPLATES = Environment(
    loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def write_page(comparison: Comparison, path: str | Path) -> Path:
    """Write the page of a comparison.

    Args:
        comparison: The runs.
        path: Of the HTML file; an earlier one is replaced whole.

    Returns:
        The path.
    """
    return write_whole(page(comparison), Path(path))


def write_whole(text: str, path: Path) -> Path:
    """Write a page; an earlier one is replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def furniture(pictures: Sequence[Figure]) -> dict[str, Any]:
    """Return the style, scripts and drawings of a page."""
    return {
        "style": TEMPLATES.get_template("page.css").render(colours=_colours()),
        "script": TEMPLATES.get_template("page.js").render(),
        "specifications": as_json({figure.name: figure.specification() for figure in pictures}),
        "library": library(),
        "stills": {figure.name: figure.still() for figure in pictures},
        "version": version("stochastic-depth"),
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def figures(comparison: Comparison) -> list[Figure]:
    """Return the figures of everything recorded, in reading order.

    Args:
        comparison: Runs with at least one finished epoch among them.

    Returns:
        The figures, without those that would be empty.
    """
    if all(run.metrics.is_empty() for run in comparison.runs):
        return []
    return [
        *variant_figures(comparison),
        *curve_figures(comparison),
        *depth_figures(comparison),
        timing_figure(comparison),
        *gradient_figures(comparison),
    ]


def page(comparison: Comparison) -> str:
    """Return the HTML of the page of a comparison."""
    pictures, said = figures(comparison), conclusions(comparison)
    leading = _leading(pictures, said)
    context = {
        **_words(comparison),
        **_tables(comparison),
        "conclusions": said,
        "variants": comparison.variants,
        "series": len(SERIES),
        "leading": leading,
        "figures": [figure for figure in pictures if figure is not leading],
        "configurations": configurations(comparison),
        **furniture(pictures),
    }
    return TEMPLATES.get_template("page.html.j2").render(context)


def _leading(pictures: Sequence[Figure], said: Sequence[Conclusion]) -> Figure | None:
    """Return the errors where they differ clearly; else which blocks ran, which is certain."""
    wanted = ("seeds",) if any(each.clear for each in said) else ("gates-", "seeds")
    found = (figure for name in wanted for figure in pictures if figure.name.startswith(name))
    return next(found, None)


def _words(comparison: Comparison) -> dict[str, Any]:
    plan, first = comparison.plan, comparison.runs[0]
    seeds = counted(len(comparison.seeds), "seed")
    return {
        "title": _title(comparison),
        "subject": f"{counted(len(comparison.variants), 'variant')}, {seeds} each",
        "notes": _markdown(plan.notes) if plan else "",
        "changes": _changes(plan.changes) if plan else "",
        "unfinished": _unfinished(comparison),
        "command": plan.command if plan and plan.command else first.command,
    }


def _title(comparison: Comparison) -> str:
    first, *others = comparison.variants
    title = f"{comparison.name}: {first}" + (f" against {listing(others)}" if others else "")
    # The cells of a sweep have long names, which the tables give.
    short = f"{comparison.name}: {counted(len(comparison.variants), 'variant')}"
    return title if len(title) <= LONGEST_TITLE else short


def _tables(comparison: Comparison) -> dict[str, Any]:
    return {
        "seeds": seeds_table(comparison),
        "measures": measures_table(comparison),
        "differences": differences_table(comparison),
        "runs": runs_table(comparison),
        "machine": machine_table(comparison),
    }


def _unfinished(comparison: Comparison) -> str:
    failed = len(comparison.failures)
    running = sum(run.key not in comparison.failures for run in comparison.unfinished)
    words = [(failed, "failed"), (running, "not finished yet")]
    return " ".join(f"{counted(number, 'run')} {word}." for number, word in words if number)


def _changes(changes: Mapping[str, Any]) -> str:
    return listing([f"{name} = {written(value)}" for name, value in changes.items()])


def configurations(comparison: Comparison) -> dict[str, str]:
    """Return the configuration of the first run of each variant, as YAML."""
    firsts = first_runs(comparison)
    return {name: yaml.safe_dump(run.config, sort_keys=False) for name, run in firsts.items()}


def _colours() -> str:
    """Return the colours as CSS variables: light, and dark for dark systems."""
    light, dark = (" ".join(f"{k}: {v};" for k, v in table.items()) for table in (LIGHT, DARK))
    preferred = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ {light} }}\n{preferred} {{ :root {{ {dark} }} }}"


def _markdown(text: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
