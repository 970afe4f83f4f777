"""What `compare` and `report` leave behind: tables on the terminal, a page, figures as JSON."""

import json as json_module
from pathlib import Path

from rich.console import Console

from .. import reports
from ..experiments import Comparison, results


def show(comparison: Comparison, page: Path, json: Path | None) -> None:
    """Print a comparison, write its page, and its figures to `json` if that is given."""
    console = Console()
    reports.print_comparison(comparison, console)
    reports.write_page(comparison, page)
    console.print(f"Written to {page}", soft_wrap=True, markup=False, highlight=False)
    if json is not None:
        text = json_module.dumps(results(comparison), indent=2, allow_nan=False)
        json.write_text(f"{text}\n", encoding="utf-8")
