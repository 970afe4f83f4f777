"""What verbs leave behind: words on the terminal, pages, figures as JSON."""

import json as json_module
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from .._checks import fail
from .._files import write_text

if TYPE_CHECKING:
    from ..experiments import Comparison


def terminal(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: a path may look like markup, or an emoji."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def print_place(path: Path) -> None:
    """Say where results lie, on one line however long, so that it can be copied."""
    # A name that is no text in this encoding is shown by its bytes.
    name = os.fsencode(path).decode(errors="backslashreplace")
    terminal().print(f"Written to {name}", soft_wrap=True)


def write_json(record: Mapping[str, Any], path: Path | None) -> None:
    """Write figures to `path`, whole or not at all, if that was asked for."""
    if path is not None:
        text = json_module.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
        write_text(path, f"{text}\n")


def require_places(options: Mapping[str, Any]) -> None:
    """Refuse, before any work, places where nothing could be written after it.

    Args:
        options: of a verb, by name.

    Raises:
        InvalidArgument: naming the option and the path.
    """
    if isinstance(file := options.get("json"), Path):
        _require_file("json", file)
    for name in ("out", "figures"):
        if isinstance(place := options.get(name), Path):
            _require_room(name, place)


def _require_file(name: str, file: Path) -> None:
    if file.is_dir():
        raise fail(name, "a file", f"{file}, a directory", "Name a file in it.")
    if not file.absolute().parent.is_dir():
        raise fail(name, "in a directory that is there", f"{file}", "Create its directory first.")
    _require_room(name, file)


def _require_room(name: str, path: Path) -> None:
    """Refuse a path whose nearest existing directory cannot be written to."""
    path = path.absolute()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if nearest != path and not nearest.is_dir():
        raise fail(name, "in a directory", f"{path}; {nearest} is a file")
    directory = nearest if nearest.is_dir() else nearest.parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise fail(name, "where files can be written", f"{path}; {directory} is read-only")


def show(comparison: "Comparison", page: Path, json: Path | None) -> None:
    """Print a comparison, write its page, and its figures to `json` if that is given."""
    from .. import reports
    from ..experiments import results

    reports.print_comparison(comparison, terminal())
    reports.write_page(comparison, page)
    print_place(page)
    write_json(results(comparison), json)
