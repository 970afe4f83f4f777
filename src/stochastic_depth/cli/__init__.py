"""The program `sdepth`: one verb per file, each a function of its options.

A verb that takes `config` has an option for every field of a run; the signature and
the docstring of the verb say the rest. What a verb needs is imported when it is used,
so that `sdepth --help` does not wait for libraries.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module, metadata
from inspect import getdoc, signature
from itertools import takewhile
from typing import Any, get_origin

from .._checks import one_of
from .._errors import StochasticDepthError

VERBS = {
    "plan": "show what stochastic depth does to a model, and what it saves",
    "train": "train a network, or go on with its training",
    "compare": "train variants over several seeds and report the difference",
    "sweep": "train every cell of a grid, here or on a cluster",
    "report": "make the page and the pictures of runs that are there already",
    "validate": "check a configuration and say what training it would do",
    "diagnose": "show what each block of a trained network does",
    "depth-check": "check what becomes of an architecture as it gets deeper",
    "reproduce": "reproduce a figure or table of a paper",
    "bench": "time a training step beside the other implementations",
}

# Options that are short for a field of a run.
SHORT = {
    "--data": "--data.name",
    "--limit": "--data.limit",
    "--image-size": "--data.image_size",
    "--flip": "--data.flip=true",
    "--no-flip": "--data.flip=false",
    "--variant": "--variants+",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: of the command line; by default those of this process.

    Returns:
        Exit status: 0 done, 1 a claim failed, 2 bad usage or an error that is explained
        in one line on the standard error, 130 interrupted.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except (StochasticDepthError, OSError) as error:
        print("sdepth:", *str(error).split(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        print("sdepth", metadata.version("stochastic-depth"))
        return 0
    if arguments[0] == "--completion":
        from ._completion import script

        print(script(arguments[1] if len(arguments) > 1 else "", VERBS))
        return 0
    if "--quiet" in arguments:
        from ._quiet import quiet

        with quiet():
            return _run([argument for argument in arguments if argument != "--quiet"])
    verb = one_of("verb", arguments[0], VERBS)
    name = verb.replace("-", "_")
    function = getattr(import_module(f".{name}", __package__), name)
    return function(**_options(function, arguments[1:])) or 0


def _options(function: Any, arguments: list[str]) -> dict[str, Any]:
    """Return the keyword arguments of a verb."""
    from .._arguments import new_parser, parse

    description, _, _ = (getdoc(function) or "").partition("\nArgs:")
    parser = new_parser(
        prog=f"sdepth {function.__name__.replace('_', '-')}", description=description
    )
    parser.add_function_arguments(function, skip={"config"})
    runs = "config" in signature(function).parameters
    short = _switches(function) | (SHORT if runs else {})
    arguments = _spread(function, _named(function, arguments))
    arguments = [_in_full(argument, short) for argument in arguments]
    if not runs:
        return parser.instantiate(parse(parser, arguments)).as_dict()

    from ..training import add_run_config, run_config

    add_run_config(parser)
    namespace = parse(parser, arguments)
    own = {name: namespace[name] for name in signature(function).parameters if name != "config"}
    return {"config": run_config(parser, namespace), **own}


def _named(function: Any, arguments: list[str]) -> list[str]:
    """Give its option to what the verb is about, which may be said first without one."""
    name, parameter = next(iter(signature(function).parameters.items()))
    several = get_origin(parameter.annotation) is list
    option = "--recipe" if name == "config" else f"--{name}+" if several else f"--{name}"
    words = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    subject = words if several else words[:1]
    return [f"{option}={word}" for word in subject] + arguments[len(subject) :]


def _spread(function: Any, arguments: list[str]) -> list[str]:
    """Return one option per word where several words may follow one: `--grid A B`."""
    parameters = signature(function).parameters.items()
    several = {f"--{name}" for name, p in parameters if p.annotation == list[str]}
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in several else ""
        if option != argument:
            spread.append(f"{option}+={argument}" if option else argument)
    return spread


def _switches(function: Any) -> dict[str, str]:
    """Return the options that are off unless named: `--list` says `--list=true`."""
    parameters = signature(function).parameters.items()
    return {f"--{name}": f"--{name}=true" for name, p in parameters if p.default is False}


def _in_full(argument: str, short: Mapping[str, str]) -> str:
    """Return an option as the parser knows it: not short, and with underscores."""
    name, equals, value = argument.partition("=")
    if name in short:
        return f"{short[name]}{equals}{value}"
    hyphens = name.startswith("--")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if hyphens else argument


def _overview() -> str:
    verbs = "\n".join(f"  {verb:<11} {purpose}" for verb, purpose in VERBS.items())
    return (
        "usage: sdepth VERB [options]\n\n"
        "Train residual networks whose depth is random.\n\n"
        f"{verbs}\n\n"
        "`sdepth VERB --help` explains one. Example: sdepth train --recipe demo_digits --out run\n"
        "--quiet prints nothing but errors; --completion bash (zsh, tcsh) prints a script for tab."
    )
