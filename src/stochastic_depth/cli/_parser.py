"""The program's parser, made from the signatures and the docstrings of its verbs.

What a verb is about comes first and needs no option; everything else has one, with
underscores or hyphens. A verb that takes `config` has an option for every field of a run.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module, metadata
from inspect import Parameter, getdoc, signature
from itertools import pairwise
from types import UnionType
from typing import Any, get_args, get_origin

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser, Namespace

from .._arguments import new_parser
from ._help import Formatter, Help, usage

# Options with a short name, and the fields of a run that they give.
SHORT = {"--data": "--data.name", "--limit": "--data.limit", "--image-size": "--data.image_size"}


READING = ("plan", "validate", "report", "diagnose")
"""Verbs that are for files of others too: they import known libraries alone."""

SHELLS = ("bash", "zsh", "tcsh")


def new_program_parser(
    description: str, verbs: Mapping[str, str], wanted: Collection[str]
) -> ArgumentParser:
    """Return the parser of the program.

    Args:
        description: of the program.
        verbs: their purposes, by name.
        wanted: verbs that need their options; the others are only named, since what a
            verb imports takes seconds.
    """
    parser = new_parser(prog="sdepth", description=description, formatter_class=Formatter)
    parser.add_argument("--version", action="version", version=f"sdepth {_version()}")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors.")
    parser.add_argument(
        "--completion", action=_Completion, metavar="SHELL", help="print a script for tab."
    )
    subcommands = parser.add_subcommands(dest="verb", metavar="VERB")
    for verb, purpose in verbs.items():
        own = new_verb_parser(verb) if verb in wanted else new_parser()
        subcommands.add_subcommand(verb, own, help=purpose)
        own.prog = f"sdepth {verb}"
    return parser


def trusted(words: Sequence[str]) -> list[str]:
    """Return the modules that `--trust` names: they are needed before words are parsed."""
    named = [word.partition("=")[2] for word in words if word.startswith("--trust=")]
    return named + [after for word, after in pairwise(words) if word == "--trust"]


def keywords(parser: ArgumentParser, options: Namespace) -> dict[str, Any]:
    """Return the keyword arguments of the verb that was asked for, and `quiet`."""
    own, given = parser._subcommands_action.choices[options.verb], options[options.verb]  # type: ignore[union-attr]
    if "--recipe" not in own._option_string_actions:
        return own.instantiate(given).as_dict()
    from ..training import run_config

    parameters = signature(verb_function(options.verb)).parameters.keys() - {"config"}
    config = run_config(own, given)
    return {"config": config, **{name: given[name] for name in [*parameters, "quiet"]}}


def new_verb_parser(verb: str) -> ArgumentParser:
    """Return a parser for the parameters of a verb."""
    function = verb_function(verb)
    description, _, _ = (getdoc(function) or "").partition("\nArgs:")
    parser = new_parser(description=description, add_help=False)
    parser.add_argument("-h", "--help", action=Help, help="show this, or the options of a topic.")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors.")
    if verb in READING:
        parser.add_argument(
            "--trust",
            action="append",
            metavar="MODULE",
            help="import what files name from this module as well; see docs/trust.md.",
        )
    parameters = signature(function).parameters
    if "config" in parameters:
        _add_run(parser)
    _add_parameters(parser, parameters, _helps(function))
    _name_twice(parser)
    parser.usage = usage(parser)
    return parser


def verb_function(verb: str) -> Callable[..., int]:
    """Return the function of a verb, which its file is named after."""
    name = verb.replace("-", "_")
    function: Callable[..., int] = getattr(import_module(f".{name}", __package__), name)
    return function


def _helps(function: Callable[..., int]) -> dict[str, str]:
    documented = parse_docstring(getdoc(function) or "").params
    return {entry.arg_name: entry.description or "" for entry in documented}


def _add_parameters(
    parser: ArgumentParser, parameters: Mapping[str, Parameter], helps: Mapping[str, str]
) -> None:
    """Add an option for each parameter, of its type; the first has none, and no list or switch.

    Not jsonargparse's `add_function_arguments`: it looks for `plan` in the library, which
    imports torch.
    """
    for place, (name, parameter) in enumerate(parameters.items()):
        kind, required = _type(parameter), parameter.default is Parameter.empty
        settings: dict[str, Any] = {"help": helps.get(name)}
        if name == "config":
            continue
        if get_origin(kind) is list:
            settings |= {"nargs": "+", "type": get_args(kind)[0]}
        elif parameter.default is not False:
            settings |= {"type": kind if place == 0 else parameter.annotation}
        if place == 0:
            settings |= {} if required else {"nargs": "?", "default": parameter.default}
            parser.add_argument(name, metavar=name.upper(), **settings)
        elif get_origin(kind) is list:
            parser.add_argument(f"--{name}", action="extend", required=required, **settings)
        elif parameter.default is False:
            parser.add_argument(f"--{name}", action="store_true", **settings)
        else:
            settings |= {"required": True} if required else {"default": parameter.default}
            parser.add_argument(f"--{name}", **settings)


def _type(parameter: Parameter) -> Any:
    """Return the annotation of a parameter, without `None`."""
    kind = parameter.annotation
    return get_args(kind)[0] if get_origin(kind) is UnionType else kind


def _add_run(parser: ArgumentParser) -> None:
    from ..training import add_run_config

    parser.add_argument("subject", nargs="?", metavar="RECIPE", action=_Recipe, help="as --recipe.")
    add_run_config(parser)
    for name, value in {"--flip": True, "--no-flip": False}.items():
        parser.add_argument(
            name,
            dest="data.flip",
            action="store_const",
            const=value,
            default=argparse.SUPPRESS,
            help=f"data.flip {str(value).lower()}.",
        )


class _Completion(argparse.Action):
    """Print a completion script and leave the program; shtab writes it."""

    def __call__(self, parser: Any, namespace: Any, shell: Any, option: Any = None) -> None:
        import shtab

        from .._checks import one_of

        one_of("shell", shell, SHELLS)
        verbs = {choice.dest: choice.help for choice in parser._subcommands_action._choices_actions}
        whole = new_program_parser(parser.description, verbs, wanted=verbs)
        # Not jsonargparse's own way, which looks for the options of every module of torch.
        print(shtab.complete(whole, shell))
        parser.exit()


class _Recipe(argparse.Action):
    """A recipe that is named first, without an option."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if values is not None:
            parser._option_string_actions["--recipe"](parser, namespace, values, "--recipe")


def _name_twice(parser: ArgumentParser) -> None:
    """Let every option be written with hyphens, and some by a short name."""
    names = parser._option_string_actions
    for name in list(names):
        if name.startswith("--"):
            names.setdefault(f"--{name[2:].replace('_', '-')}", names[name])
    names |= {short: names[name] for short, name in SHORT.items() if name in names}


def _version() -> str:
    return metadata.version("stochastic-depth")
