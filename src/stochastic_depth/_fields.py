"""Whether a value is of the type of its field, and a sentence for each kind that is not."""

import inspect
import math
from collections.abc import Mapping
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ._checks import fail, given, nearest
from ._errors import InvalidArgument
from ._trust import require_trusted

NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "null",
    tuple: "a list such as [1,2]",
    list: "a list of mappings such as [{a: 1}]",
    dict: "a mapping such as {a: 1}",
    Mapping: "a mapping such as {a: 1}",
}

WORDS = {"None": "null", "True": "true", "False": "false"}
"""Python's name of a value, and YAML's."""

PARTS = {"class_path", "init_args", "dict_kwargs"}


def check_field(field: str, kind: Any, value: Any, said: str = "") -> None:
    """Refuse a value that is not of the type of its field.

    Args:
        field: its name.
        kind: its annotation.
        value: from YAML, or a word.
        said: the value as a message shows it; from the value by default.

    Raises:
        InvalidArgument: naming the field, what it must be and what it is.
    """
    said = said or in_yaml(value)
    if (base := base_of(kind)) is not None:
        _check_component(field, base, value, said)
    elif not fits(kind, value):
        literals = [name for member in _members(kind) for name in _literals(member)]
        close = nearest(str(value), literals) if literals else ""
        raise fail(field, _requirement(kind), said, close)


def _check_component(field: str, base: type, value: Any, said: str) -> None:
    """Refuse what is no class, and arguments that it does not take."""
    given_path = isinstance(value, str)
    values: Mapping[str, Any] = {"class_path": value} if given_path else value
    path = values.get("class_path") if isinstance(values, Mapping) else None
    if not (isinstance(path, str) and path and set(values) <= PARTS):
        raise fail(field, "an import path, or a mapping of class_path and init_args", said)
    for part in ("init_args", "dict_kwargs"):
        if not isinstance(values.get(part, {}), Mapping):
            raise fail(f"{field}.{part}", "a mapping of arguments", in_yaml(values[part]))
    if "." not in path:
        return  # jsonargparse knows classes by their last name
    made = made_by(resolved(field, path))
    if made is None or not issubclass(made, base):
        raise fail(field, f"the import path of what makes a {base.__name__}", repr(path))
    for argument, entry in values.get("init_args", {}).items():
        check_argument(f"{field}.init_args.{argument}", path, argument, entry, in_yaml(entry))


def check_argument(field: str, path: str, argument: str, value: Any, said: str) -> None:
    parameters = signature(resolved(field, path)).parameters
    if argument not in parameters:
        close = nearest(argument, parameters) or f"It takes {', '.join(parameters)}."
        raise InvalidArgument(f"{field} is not an argument of {path}. {close}")
    kind = parameters[argument].annotation
    if not isinstance(kind, str) and kind is not inspect.Parameter.empty and not fits(kind, value):
        raise fail(field, _requirement(kind), said)


def resolved(field: str, path: str) -> Any:
    """Return what an import path names.

    Raises:
        InvalidArgument: nothing, or what may not be imported; the message names `field`.
    """
    require_trusted(field, path)
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        module, _, last = path.rpartition(".")
        known = _contents(module)
        requirement = "the import path of a class or function"
        raise fail(field, requirement, repr(path), nearest(last, known)) from error


def made_by(target: Any) -> type | None:
    """Return the class of what calling `target` makes, as far as it says so itself."""
    if not inspect.isclass(target):
        try:
            target = get_type_hints(target).get("return")
        except (TypeError, NameError, AttributeError):
            return None
    return target if inspect.isclass(target) else None


def _contents(module: str) -> list[str]:
    try:
        return dir(resolve_name(module)) if module and find_spec(module) else []
    except (ImportError, AttributeError, ValueError):
        return []


def fits(kind: Any, value: Any) -> bool:
    """Return whether a value from YAML, or from a word, is of an annotated type."""
    origin, members = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(member, value) for member in members)
    if origin is Literal:
        return value in [member for member in members if type(member) is type(value)]
    if kind in (int, float):
        return _is_number(kind, value)
    if kind in (None, NoneType):
        return value is None
    if origin is tuple and members[-1:] != (Ellipsis,):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(members)
            and all(map(fits, members, value))
        )
    if origin in (tuple, list):
        return isinstance(value, (list, tuple)) and all(fits(members[0], item) for item in value)
    if (origin or kind) in (dict, Mapping):
        return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if kind in (str, Path):
        return isinstance(value, str)
    if origin is type:
        return inspect.isclass(value) or (isinstance(value, str) and _is_class(value))
    if kind is bool:
        return isinstance(value, bool) or value in ("true", "false")
    # Of another class: by import path, or as a mapping of its arguments.
    return not inspect.isclass(kind) or isinstance(value, (str, Mapping, kind))


def _is_class(path: str) -> bool:
    try:
        return inspect.isclass(resolve_name(path))
    except (ImportError, AttributeError, ValueError):
        return False


def _is_number(kind: type, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    if kind is int and isinstance(value, float):
        return False
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return False
    return not isinstance(value, str) or math.isfinite(number)  # "nan" is a word


def in_yaml(value: Any) -> str:
    """Return a value of a recipe as a message shows it."""
    said = given(value)
    return WORDS.get(said, said)


def base_of(kind: Any) -> type | None:
    """Return the class that a field holds an object of; None where it holds plain values."""
    kinds = _members(kind)
    own = [kind for kind in kinds if inspect.isclass(kind) and kind not in (*NAMES, None)]
    return own[0] if own and not get_origin(own[0]) else None


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _literals(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _requirement(kind: Any) -> str:
    return " or ".join(map(_of_one, _members(kind)))


def _of_one(kind: Any) -> str:
    literals = _literals(kind)
    if literals:
        return "one of " + ", ".join(literals)
    name = getattr(kind, "__name__", str(kind))
    return NAMES.get(get_origin(kind) or kind, f"the import path of a {name}")
