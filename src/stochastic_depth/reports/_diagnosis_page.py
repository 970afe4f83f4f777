"""The diagnosis of a run as a page, and on the terminal."""

from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from .._provenance import hardware, versions
from ..experiments import RunDiagnosis
from ._diagnosis_figures import diagnosis_figures
from ._diagnosis_words import blocks_table, sentences
from ._page import TEMPLATES, furniture, write_whole
from ._terminal import rendered
from ._text_tables import facts_table


def write_diagnosis(found: RunDiagnosis, path: str | Path, command: str = "") -> Path:
    """Write the page of a diagnosis: one file that opens without any network.

    Args:
        found: The diagnosis.
        path: Of the HTML file; an earlier one is replaced whole.
        command: The command line that made it.

    Returns:
        The path.
    """
    return write_whole(_page(found, command), Path(path))


def print_diagnosis(found: RunDiagnosis, console: Console | None = None) -> None:
    """Print the table of blocks and what was found.

    Args:
        found: The diagnosis.
        console: Where to print; the standard output by default.
    """
    console = console or Console(markup=False, emoji=False)
    console.print(rendered(blocks_table(found)))
    for sentence in sentences(found):
        console.print(Text(sentence))


def _page(found: RunDiagnosis, command: str) -> str:
    pictures = list(diagnosis_figures(found))
    config = found.restored.prepared.config
    context: dict[str, Any] = {
        "title": f"{config.name}: {found.restored.directory.name} after step "
        f"{found.restored.step:,}",
        "subject": f"{found.restored.checkpoint.name}, {len(found.blocks)} blocks",
        "sentences": sentences(found),
        "figures": pictures,
        "blocks": blocks_table(found),
        "command": command,
        "configuration": yaml.safe_dump(config.to_mapping(), sort_keys=False),
        "machine": facts_table({**hardware(), **versions("lightning", "scipy")}),
        **furniture(pictures),
    }
    return TEMPLATES.get_template("diagnosis.html.j2").render(context)
