"""Whose code may be imported because a file names it; see docs/trust.md."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

from ._errors import InvalidArgument

LIBRARIES = ("torch", "torchvision", "timm", "transformers", "lightning", "stochastic_depth")
"""Whose classes a file may name without being trusted."""

IMPORT_PATH = re.compile(r"(?<![\w./\\-])[^\W\d]\w*(?:\.[^\W\d]\w*)+")

_allowed: ContextVar[tuple[str, ...] | None] = ContextVar("allowed", default=None)


@contextmanager
def importing_only(modules: Iterable[str]) -> Iterator[None]:
    """Let files name the libraries' classes and those of `modules`, and no others."""
    token = _allowed.set((*LIBRARIES, *modules))
    try:
        yield
    finally:
        _allowed.reset(token)


def require_trusted(field: str, path: str) -> None:
    """Refuse an import path that may not be followed.

    Raises:
        InvalidArgument: it leads to a module that was not allowed.
    """
    allowed = _allowed.get()
    if allowed is None or any(path == name or path.startswith(f"{name}.") for name in allowed):
        return
    raise InvalidArgument(
        f"{field} must be imported from {', '.join(allowed)}; got {path!r}. "
        f"Only if you trust that code, pass --trust {path.partition('.')[0]}."
    )


def require_trusted_names(field: str, value: Any) -> None:
    """Refuse values in which a text, at any depth, is an import path that may not be followed.

    Also of arguments: where a class is annotated with one, its name is imported.
    """
    if _allowed.get() is None:
        return
    if isinstance(value, Mapping):
        for key, entry in value.items():
            require_trusted_names(f"{field}.{key}", entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            require_trusted_names(field, entry)
    elif isinstance(value, str):
        for path in IMPORT_PATH.findall(value):
            if _leads_somewhere(path.partition(".")[0]):
                require_trusted(field, path)


def _leads_somewhere(name: str) -> bool:
    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return True
