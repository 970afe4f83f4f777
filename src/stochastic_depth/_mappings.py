"""Files of named fields, YAML or JSON: read whole, or refused in a sentence.

The one reader of recipes, `config.yaml` and `run.json`. Files of others cannot make it work
for long: what YAML's aliases stand for is counted before anything is built.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._errors import DataError, StochasticDepthError

Refusal = type[StochasticDepthError]

LARGEST = 16 * 2**20
"""Bytes of a file; what names fields is smaller."""

MOST_NODES = 20_000
"""Entries of a YAML file, aliases counted as often as they stand for them."""

DEEPEST = 50


def read_yaml(path: Path, refusal: Refusal = DataError) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        DataError: there is none, or it is damaged, or too large; or a `refusal`.
    """
    import yaml

    text = _text(path, refusal)
    try:
        problem = _excess(text)
        value = None if problem else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = f"it is not YAML{where}"
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        problem = "it is not YAML"
    return _mapping(path, value if not problem else None, problem, refusal)


def read_json(path: Path, refusal: Refusal = DataError) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DataError: there is none, or it is damaged, or too large; or a `refusal`.
    """
    text, value, problem = _text(path, refusal), None, ""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"it is not JSON in line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        problem = "it is not JSON"
    return _mapping(path, value, problem, refusal)


def _text(path: Path, refusal: Refusal) -> str:
    if not path.parent.is_dir():
        raise refusal(f"There is no directory {path.parent}.")
    if not path.exists():
        raise refusal(
            f"{path.parent} is not a run directory: {path.name} is missing. "
            "Pass a directory that `sdepth train` or `sdepth compare` wrote."
        )
    try:
        # A pipe, say, would be waited for.
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise _damaged(path, f"it is no file of at most {LARGEST // 2**20} MB", refusal)
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, f"byte {error.start} is not UTF-8", refusal) from error
    except OSError as error:
        raise _damaged(path, f"{error.strerror}", refusal) from error


def _mapping(path: Path, value: object, problem: str, refusal: Refusal) -> dict[str, Any]:
    if problem:
        raise _damaged(path, problem, refusal)
    if not isinstance(value, Mapping):
        held = "nothing" if value is None else type(value).__name__
        raise refusal(f"{path} must hold named fields; it holds {held}.")
    return dict(value)


def _damaged(path: Path, problem: str, refusal: Refusal) -> StochasticDepthError:
    remedy = "Run the training again." if refusal is DataError else "Mend it."
    return refusal(f"{path} cannot be read ({problem}). {remedy}")


def _excess(text: str) -> str:
    """Return in words what makes a YAML file too much to build; nothing if it is not.

    The sizes of nodes are added up from the parser's events, an alias as the size of its
    anchor: nine aliases of nine aliases, nine levels deep, are as cheap to count as one.
    """
    import yaml

    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        anchor, size = getattr(event, "anchor", None), 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, 1))
            if len(open_nodes) > DEEPEST:
                return f"it is nested more than {DEEPEST} levels deep"
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.AliasEvent):
            if anchor not in sizes:
                return f"its alias *{anchor} stands for what it is part of"
            size = sizes[anchor]
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, total = open_nodes[-1]
        open_nodes[-1] = (outer, total + size)
        if total + size > MOST_NODES:
            return f"it stands for more than {MOST_NODES} entries"
    return ""
