"""Arguments read by jsonargparse, and a sentence of ours for each kind of wrong one.

Of a complaint of the parser only the name of the field and the value are taken: what
must hold is known from the type. Imported by what parses, not by the core.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from ._errors import InvalidArgument

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
}


CAUSAL_LM = "stochastic_depth.training.language_models.CausalLM"


def new_parser(**settings: Any) -> ArgumentParser:
    """Return a parser that raises where others leave the program, and expands no prefixes."""
    return ArgumentParser(
        **{"exit_on_error": False, "allow_abbrev": False, "print_config": None} | settings
    )


def parse(
    parser: ArgumentParser, arguments: Sequence[str], base: Namespace | None = None
) -> Namespace:
    """Parse command-line arguments.

    Args:
        parser: from `new_parser`.
        arguments: of the command line.
        base: values that the arguments replace; the parser's defaults if None.

    Raises:
        InvalidArgument: an argument is unknown, missing or of the wrong type.
    """
    arguments = list(_spelled_out(arguments))
    try:
        return parser.parse_args(arguments, namespace=base)
    except ArgumentError as error:
        for pattern, explain in COMPLAINTS:
            if found := pattern.search(error.message):
                raise explain(_spoken_to(parser, arguments), *found.groups()) from error
        raise InvalidArgument(" ".join(error.message.split())) from error


def _spelled_out(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, `--model transformers/NAME` as import path and name."""
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--model":
            value = value if equals else next(words, "")
        if option == "--model" and value.startswith("transformers/"):
            yield from (f"--model={CAUSAL_LM}", f"--model.init_args.name={value}")
        elif option == "--model" and not equals:
            yield from filter(None, (word, value))
        else:
            yield word


def _spoken_to(parser: ArgumentParser, arguments: Sequence[str]) -> ArgumentParser:
    """Return the parser of the subcommand that the arguments begin with, if there are any."""
    subcommands: Any = getattr(parser, "_subcommands_action", None)
    verbs = subcommands.choices if subcommands else {}
    return next((verbs[word] for word in arguments if word in verbs), parser)


def _of_wrong_type(parser: ArgumentParser, field: str, value: str) -> InvalidArgument:
    kind = getattr(_actions(parser).get(field), "_typehint", str)
    return _refused(field, kind, value)


def _refused(field: str, kind: Any, value: str) -> InvalidArgument:
    from ._checks import fail, nearest

    literals = [name for member in _members(kind) for name in _literals(member)]
    remedy = nearest(value, literals) if literals else ""
    return fail(field, " or ".join(map(_requirement, _members(kind))), repr(value), remedy)


def _of_wrong_component(
    parser: ArgumentParser, field: str, path: str, complaint: str
) -> InvalidArgument:
    """Explain a class that cannot be imported, or an argument that it does not take."""
    from ._checks import fail, nearest

    name = re.search(r"""(?:Option '|Parser key ")([\w.]+)""", complaint)
    if name is None:
        module, _, last = path.rpartition(".")
        remedy = nearest(last, dir(import_module(module))) if find_spec(module) else ""
        return fail(field, "the import path of a class or function", repr(path), remedy)
    parameters = signature(resolve_name(path)).parameters
    full = f"{field}.init_args.{name[1]}"
    if name[1] not in parameters:
        close = nearest(name[1], parameters) or f"It takes {', '.join(parameters)}."
        return InvalidArgument(f"{full} is not an argument of {path}. {close}")
    value = re.search(r"(?:Got|Given) value: (.*)", complaint)
    return _refused(full, parameters[name[1]].annotation, value[1] if value else "another")


def _unknown(parser: ArgumentParser, words: str) -> InvalidArgument:
    from ._checks import nearest

    word = words.split()[0]
    if not word.startswith("-"):
        return InvalidArgument(f"{word!r} is one word too many. Quote it, or name its option.")
    name = word.partition("=")[0]
    remedy = nearest(name.lstrip("-"), _known(parser)) or f"See `{parser.prog} --help all`."
    return InvalidArgument(f"{name} is not an option of {parser.prog}. {remedy}")


def _unaccepted(parser: ArgumentParser, name: str) -> InvalidArgument:
    from ._checks import nearest

    return InvalidArgument(f"{name} is not a field. {nearest(name, _known(parser))}".strip())


def _missing(parser: ArgumentParser, names: str) -> InvalidArgument:
    field = names.split(",")[0].rpartition(".")[2]
    action = _actions(parser).get(field)
    said = f"--{field}" if action is None or action.option_strings else field.upper()
    return InvalidArgument(f"{field} must be given; got nothing. Pass {said}.")


def _nothing_asked(parser: ArgumentParser, name: str) -> InvalidArgument:
    return InvalidArgument(f"{name} must be given; got nothing. See `{parser.prog} --help`.")


def _without_value(parser: ArgumentParser, option: str) -> InvalidArgument:
    return InvalidArgument(f"{option} must be followed by a value; got none.")


def _of_wrong_group(parser: ArgumentParser, field: str, value: str) -> InvalidArgument:
    from ._checks import fail

    return fail(field, "a mapping of its fields, or a file of them", repr(value))


def _of_no_path(parser: ArgumentParser, field: str, value: str | None) -> InvalidArgument:
    from ._checks import fail

    requirement = "an import path, or a mapping of class_path and init_args"
    return fail(field, requirement, repr(value) if value else "another class_path")


def _unknown_choice(parser: ArgumentParser, name: str, value: str) -> InvalidArgument:
    from ._checks import fail, nearest

    choices = [str(choice) for choice in parser._subcommands_action.choices]  # type: ignore[union-attr]
    return fail(name.lower(), "one of " + ", ".join(choices), repr(value), nearest(value, choices))


Explain = Callable[..., InvalidArgument]

COMPLAINTS: tuple[tuple[re.Pattern[str], Explain], ...] = (
    (
        re.compile(r'Parser key "([\w.]+)":.*?class_path \'([\w.]+)\':(.*)', flags=re.DOTALL),
        _of_wrong_component,
    ),
    (
        re.compile(r'Parser key "([\w.]+)".*(?:Got|Given) value: ([^\n]*)', flags=re.DOTALL),
        _of_wrong_type,
    ),
    (re.compile(r'Parser key "([\w.]+)": Unable to load config "(.*?)"'), _of_wrong_group),
    (
        re.compile(r'Parser key "([\w.]+)":\s*(?:- Expected a path but (\S+)|argument of)'),
        _of_no_path,
    ),
    (re.compile(r"unrecognized arguments: (.*)", flags=re.DOTALL), _unknown),
    (re.compile(r"arguments are required: (.*)"), _missing),
    (re.compile(r'expected "(\w+)" to be one of'), _nothing_asked),
    (re.compile(r"argument (\w+): invalid choice: '(.*?)'"), _unknown_choice),
    (re.compile(r"argument (--[\w.-]+)\S*: expected"), _without_value),
    (re.compile(r"[Oo]ption '([\w.]+)'"), _unaccepted),
)


def _actions(parser: ArgumentParser) -> dict[str, Any]:
    return {action.dest: action for action in reversed(parser._actions)}


def _known(parser: ArgumentParser) -> Collection[str]:
    """Return the names of all options, and those of fields also without their group."""
    names = [name.lstrip("-") for name in parser._option_string_actions]
    return names + [name.rpartition(".")[2] for name in names if "." in name]


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _literals(kind: Any) -> tuple[str, ...]:
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def _requirement(kind: Any) -> str:
    literals = _literals(kind)
    if literals:
        return "one of " + ", ".join(literals)
    name = getattr(kind, "__name__", str(kind))
    return NAMES.get(get_origin(kind) or kind, f"the import path of a {name}")
