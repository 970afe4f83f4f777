"""`sdepth report`: the page and the pictures of runs that are there already."""

import json as json_module
from pathlib import Path

from rich.console import Console

from .. import experiments, reports


def report(
    runs: list[Path], out: Path | None = None, figures: Path | None = None, json: Path | None = None
) -> int:
    """Report on any runs, also while they train.

    Example: sdepth report runs/demo --figures pictures

    Args:
        runs: run directories, or directories that hold some.
        out: the page; report.html in the first of the directories by default.
        figures: also write every figure here, as SVG and PNG.
        json: also write the figures of the tables here.

    Returns:
        0.
    """
    console = Console()
    comparison = experiments.Comparison.read(*runs)
    reports.print_comparison(comparison, console)
    page = reports.write_page(comparison, out or runs[0] / "report.html")
    console.print(f"Written to {page}", soft_wrap=True)
    if figures is not None:
        for figure in reports.figures(comparison):
            figure.save(figures)
    if json is not None:
        text = json_module.dumps(experiments.results(comparison), indent=2)
        json.write_text(f"{text}\n", encoding="utf-8")
    return 0
