"""Reports: the record of runs as tables, charts and one page."""

from ._diagnosis_page import print_diagnosis, write_diagnosis
from ._figure import Figure
from ._figures import figures
from ._page import page, write_page
from ._summary import Verdict, verdicts
from ._sweep import print_sweep
from ._terminal import print_comparison

__all__ = [
    "Figure",
    "Verdict",
    "figures",
    "page",
    "print_comparison",
    "print_diagnosis",
    "print_sweep",
    "verdicts",
    "write_diagnosis",
    "write_page",
]
