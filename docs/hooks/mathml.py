"""Write the formulas of a page as MathML, which browsers draw without a script."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Return the page with its formulas converted; MkDocs calls this for every page."""
    return FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    formula = html.unescape(match[2])
    if match[1] == "span":
        return convert(formula, display="inline")
    return f'<div class="formula">{convert(formula, display="block")}</div>'
