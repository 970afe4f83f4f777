"""Arguments read by jsonargparse, with complaints of one sentence.

jsonargparse explains a wrong argument over many lines, in the types of the parser.
Here its answer becomes one line that names the field, and the nearest name where one
was misspelt. Imported by what parses, not by the core.
"""

import re
from collections.abc import Iterable, Sequence
from inspect import signature
from pkgutil import resolve_name
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace

from ._checks import nearest
from ._errors import InvalidArgument

# Lines about the parser rather than the argument.
NOISE = re.compile(
    r"Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|Given value type.*"
    r"|Expected a <class 'NoneType'>|Expected a path but .*"
)
REWORDED = (
    (re.compile(r"<class '(?:\w+\.)*(\w+)'>"), r"\1"),
    (re.compile(r"typing\.Literal\[([^]]*)\]"), r"one of \1"),
    (
        re.compile(r'Parser key "([\w.]+)": Expected (?:a )?(.*?)\.? (?:Got|Given) value: '),
        r"\1 must be \2; got ",
    ),
    (re.compile(r'Parser key "([\w.]+)":'), r"\1:"),
    (re.compile(r"Problem with given class_path '([\w.]+)':"), r"\1:"),
    (re.compile(r" Given value: .*"), ""),
)
MISSPELT = re.compile(r"(?:arguments: -*|[Oo]ption '|no attribute '|Got value: )([\w.-]+)")


def new_parser(**settings: Any) -> ArgumentParser:
    """Return a parser that raises where others leave the program, and expands no prefixes."""
    settings = {"exit_on_error": False, "allow_abbrev": False, "print_config": None} | settings
    return ArgumentParser(formatter_class=_HelpFormatter, **settings)


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
    try:
        return parser.parse_args(list(arguments), namespace=base)
    except ArgumentError as error:
        raise InvalidArgument(_sentence(str(error), parser)) from error


class _HelpFormatter(DefaultHelpFormatter):
    """Help without the list of every module and optimizer there is."""

    def _expand_help(self, action: Any) -> str:
        return re.sub(r", known subclasses: .*(?=\))", "", super()._expand_help(action))


def _sentence(message: str, parser: ArgumentParser) -> str:
    lines = (line.strip(" -") for line in message.splitlines())
    text = " ".join(line for line in lines if line and not NOISE.fullmatch(line))
    for pattern, replacement in REWORDED:
        text = pattern.sub(replacement, text)
    name = MISSPELT.search(message)
    hint = nearest(name[1], _alternatives(message, parser)) if name else ""
    return f"{text.rstrip('.')}. {hint}".strip()


def _alternatives(message: str, parser: ArgumentParser) -> Iterable[str]:
    """Return the names that could have been meant where `message` complains of one."""
    if module := re.search(r"module '([\w.]+)' has no attribute", message):
        return dir(resolve_name(module[1]))
    if component := re.search(r"class_path '([\w.]+)'", message):
        return signature(resolve_name(component[1])).parameters
    if literal := re.search(r"Literal\[(.*)\]", message):
        return re.findall(r"'([^']+)'", literal[1])
    options = [name.lstrip("-") for action in parser._actions for name in action.option_strings]
    return options + [name.rpartition(".")[2] for name in options if "." in name]
