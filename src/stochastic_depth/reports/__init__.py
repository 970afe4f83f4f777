"""Reports: the record of runs as tables, charts and one page."""

from ._diagnosis_page import print_diagnosis, write_diagnosis
from ._figure import Figure
from ._figures import figures
from ._page import page, write_page
from ._result_page import claims_headline, claims_table, result_page
from ._summary import Verdict, verdicts
from ._sweep import print_sweep
from ._terminal import print_comparison

__all__ = [
    "Figure",
    "Verdict",
    "claims_headline",
    "claims_table",
    "figures",
    "page",
    "print_comparison",
    "print_diagnosis",
    "print_sweep",
    "result_page",
    "verdicts",
    "write_diagnosis",
    "write_page",
]
