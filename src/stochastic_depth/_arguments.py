"""Command-line parsing whose complaints are one sentence.

jsonargparse explains a wrong argument over many lines, with the types of the
parser; here its answer becomes one line that names the field, and the nearest
name where one was misspelt. Imported by what parses, not by the core.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from ._checks import nearest
from ._errors import InvalidArgument

# What jsonargparse adds for the reader of its source.
NOISE = re.compile(
    r"Does not validate against any of the Union subtypes|Subtypes: .*|Errors:|Given value.*"
    r"|Expected a <class 'NoneType'>|Expected a path but .*"
)
CLASSES = re.compile(r"<class '(?:\w+\.)*(\w+)'>|typing\.(?=Literal)")
KEY = re.compile(r'Parser key "([\w.]+)":')
UNKNOWN = re.compile(r"(?:unrecognized arguments: -*|accept option '|Option ')([\w.-]+)")


def new_parser(**settings: Any) -> ArgumentParser:
    """Return a parser that raises instead of leaving the program, and expands no prefixes."""
    return ArgumentParser(exit_on_error=False, allow_abbrev=False, print_config=None, **settings)


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parse `arguments`.

    Raises:
        InvalidArgument: an argument is unknown, missing or of the wrong type.
    """
    try:
        return parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise InvalidArgument(_sentence(str(error), _options(parser))) from error


def _sentence(message: str, options: Iterable[str]) -> str:
    lines = (line.strip(" -") for line in message.splitlines())
    text = " ".join(line for line in lines if line and not NOISE.fullmatch(line))
    text = KEY.sub(r"\1:", CLASSES.sub(r"\1", text))
    unknown = UNKNOWN.search(message)
    hint = nearest(unknown[1], options) if unknown else ""
    return f"{text.rstrip('.')}. {hint}".strip()


def _options(parser: ArgumentParser) -> list[str]:
    names = [name for action in parser._actions for name in action.option_strings]
    return [name.lstrip("-") for name in names] + [name.rsplit(".")[-1] for name in names]
