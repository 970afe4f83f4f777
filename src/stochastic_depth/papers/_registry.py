"""Which artefacts there are, and where: here and in packages that add papers of their own.

A package adds a paper by an entry point, whose name is the paper's and whose value is the package
or module that holds its artefacts:

    [project.entry-points."stochastic_depth.papers"]
    chen2030 = "mylab.chen2030"
"""

import ast
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._checks import instance, nearest
from .._errors import InvalidArgument
from .._fields import resolved

if TYPE_CHECKING:
    from ._artefact import Artefact

GROUP = "stochastic_depth.papers"
HERE = Path(__file__).parent


class _Entry(NamedTuple):
    module: str
    title: str


def titles() -> dict[str, str]:
    """Return the title of every artefact, by name; no artefact is imported.

    Example:
        >>> from stochastic_depth import papers
        >>> "hayou2021/lemma1" in papers.titles()
        True
    """
    return {name: place.title for name, place in _places().items()}


def load(name: str) -> "Artefact":
    """Return the artefact `PAPER/NAME`, or that at an import path.

    Raises:
        InvalidArgument: there is none of that name.
    """
    from ._artefact import Artefact

    if "/" not in name and "." in name:
        return instance("artefact", resolved("artefact", name), Artefact, "an Artefact")
    places = _places()
    if name not in places:
        raise InvalidArgument(
            "artefact must be one of those that `sdepth reproduce --list` names, or an import "
            f"path; got {name!r}. {nearest(name, places)}".strip()
        )
    return getattr(import_module(places[name].module), name.partition("/")[2])


@cache
def _places() -> dict[str, _Entry]:
    """Return where each artefact is defined, by its name."""
    found = {
        f"{paper}/{variable}": _Entry(module, title)
        for paper, package, place in _papers()
        for module, file in _modules(package, place)
        for variable, title in _titled(ast.parse(file.read_text(encoding="utf-8")))
    }
    return dict(sorted(found.items()))


def _papers() -> Iterator[tuple[str, str, Path]]:
    """Yield each paper, the package or module of its artefacts, and the folder or file of that."""
    own = [path.parent for path in sorted(HERE.glob("*/__init__.py"))]
    yield from ((folder.name, f"{__package__}.{folder.name}", folder) for folder in own)
    taken = {folder.name for folder in own}
    for entry in entry_points(group=GROUP):
        try:
            # A package that is installed and broken keeps nobody from the other papers.
            place = None if entry.name in taken else _located(entry.value)
        except Exception as error:
            warnings.warn(f"The paper {entry.name} cannot be read: {error}", stacklevel=2)
            continue
        if place is None:
            reason = "is there already" if entry.name in taken else "has no source files"
            warnings.warn(f"The paper {entry.name} of {entry.value} {reason}.", stacklevel=2)
            continue
        taken.add(entry.name)
        yield entry.name, entry.value, place


def _located(module: str) -> Path | None:
    """Return the folder of a package, or the file of a module; what holds it is imported."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin


def _modules(package: str, place: Path) -> Iterator[tuple[str, Path]]:
    if place.is_file():
        yield package, place
    else:
        yield from ((f"{package}.{path.stem}", path) for path in place.glob("[!_]*.py"))


def _titled(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the variables that hold artefacts, in lower case, and the texts below them."""
    for statement, below in pairwise(module.body):
        match statement, below:
            case (
                ast.Assign(targets=[ast.Name(id=variable)]),
                ast.Expr(value=ast.Constant(value=str(title))),
            ) if variable.islower():
                yield variable, title
