"""Find artefacts by their files; import only the one that is asked for."""

import ast
from importlib import import_module
from pathlib import Path

from .._checks import nearest
from .._errors import InvalidArgument
from ._artefact import Artefact

HERE = Path(__file__).parent


def titles() -> dict[str, str]:
    """Return the first line of every artefact's file, by name; nothing is imported.

    Example:
        >>> from stochastic_depth import papers
        >>> "hayou2021/lemma1" in papers.titles()
        True
    """
    return {
        f"{path.parent.name}/{path.stem}": _first_line(path)
        for path in sorted(HERE.glob("*/*.py"))
        if not path.name.startswith("_")
    }


def load(name: str) -> Artefact:
    """Return the artefact `PAPER/NAME`.

    Raises:
        InvalidArgument: there is none of that name.
    """
    names = titles()
    if name not in names:
        raise InvalidArgument(
            f"artefact must be one of those that `sdepth reproduce --list` names; got {name!r}. "
            f"{nearest(name, names)}".strip()
        )
    module = import_module("." + name.replace("/", "."), __package__)
    return module.ARTEFACT


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]
