"""Reports: recorded runs as tables, charts and one page."""

from ._diagnosis_page import print_diagnosis, write_diagnosis
from ._figure import Figure
from ._page import figures, page, write_page
from ._rate_page import print_rate, write_rate
from ._result_page import claims_headline, claims_table, result_page
from ._summary import Conclusion, conclusions
from ._terminal import print_comparison, print_sweep

__all__ = [
    "Conclusion",
    "Figure",
    "claims_headline",
    "claims_table",
    "conclusions",
    "figures",
    "page",
    "print_comparison",
    "print_diagnosis",
    "print_rate",
    "print_sweep",
    "result_page",
    "write_diagnosis",
    "write_page",
    "write_rate",
]
