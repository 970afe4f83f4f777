"""A completion script for a shell, made from the options of every verb."""

from importlib import import_module
from inspect import signature

import shtab

from .._arguments import new_parser
from .._checks import one_of
from ..training import add_run_config

SHELLS = ("bash", "zsh", "tcsh")


def script(shell: str, verbs: dict[str, str]) -> str:
    """Return what the shell has to read to complete verbs and options.

    Args:
        shell: `"bash"`, `"zsh"` or `"tcsh"`.
        verbs: their purposes, by name.

    Returns:
        The script; shtab writes it.
    """
    parser = new_parser(prog="sdepth")
    subcommands = parser.add_subcommands()
    for verb, purpose in verbs.items():
        name = verb.replace("-", "_")
        function = getattr(import_module(f".{name}", __package__), name)
        own = new_parser(prog=f"sdepth {verb}", description=purpose)
        own.add_function_arguments(function, skip={"config"})
        if "config" in signature(function).parameters:
            add_run_config(own)
        subcommands.add_subcommand(verb, own, help=purpose)
    # Not jsonargparse's own way, which looks for the options of every module of torch.
    return shtab.complete(parser, one_of("shell", shell, SHELLS))
