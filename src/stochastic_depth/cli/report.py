"""`sdepth report`: the page and the pictures of runs that are there already."""

from pathlib import Path


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
    from .. import reports
    from ..experiments import Comparison
    from ._outcome import show

    comparison = Comparison.read(*runs)
    show(comparison, out or runs[0] / "report.html", json)
    if figures is not None:
        for figure in reports.figures(comparison):
            figure.save(figures)
    return 0
