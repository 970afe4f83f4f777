"""Reports: the record of runs as tables, charts and one page."""

from ._figure import Figure
from ._figures import figures
from ._page import page, write_page
from ._summary import Verdict, verdicts
from ._terminal import print_comparison

__all__ = ["Figure", "Verdict", "figures", "page", "print_comparison", "verdicts", "write_page"]
