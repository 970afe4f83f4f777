"""The program `sdepth`: one verb per file, each a function of its options.

The signature and the docstring of a verb say everything about its options. What a verb
needs is imported when it is used, so that `sdepth --help` does not wait for libraries.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from .._errors import StochasticDepthError
from .._trust import importing_only, require_trusted_names

DESCRIPTION = """Train residual networks whose depth is random.

`sdepth VERB --help` explains a verb. Example: sdepth train demo_digits --out run"""

VERBS = {
    "plan": "show what stochastic depth does to a model, and what it saves",
    "train": "train a network, or go on with its training",
    "compare": "train variants over several seeds and report the difference",
    "sweep": "train every cell of a grid, here or on a cluster",
    "rate": "find which survival a network should have on these data",
    "report": "make the page and the pictures of runs that are there already",
    "validate": "check a configuration and say what training it would do",
    "diagnose": "show what each block of a trained network does",
    "depth-check": "check what becomes of an architecture as it gets deeper",
    "reproduce": "reproduce a figure or table of a paper",
    "bench": "time a training step beside the other implementations",
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
        return _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    except SystemExit as left:  # after --help, --version or --completion
        return int(left.code or 0)
    except (StochasticDepthError, OSError) as error:
        print("sdepth:", re.sub(r"\s*\n\s*", " ", str(error)), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "stochastic_depth"):
            raise
        remedy = "pip install 'stochastic-depth[all]' installs it."
        print(
            f"sdepth: The program needs {error.name}, which is not there; {remedy}", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    from ._parser import READING, trusted  # which the core alone does not bring along

    verb = next((word for word in words[:2] if word in VERBS), "")
    with importing_only(trusted(words)) if verb in READING else nullcontext():
        return _run_verb(words)


PLACES = ("--out", "--json", "--figures", "--data-dir", "--data.data_dir", "--config")
"""Options that name files and folders; `page.html` is no import path."""


def _without_places(words: list[str]) -> Iterator[str]:
    """Yield the words that could name a class: no files, no folders, no runs."""
    names = "plan" in words[:2]  # the one verb whose subject is a model
    waiting = iter(words)
    for word in waiting:
        option, equals, _ = word.partition("=")
        if option in PLACES:
            if not equals:
                next(waiting, None)
        elif option.startswith("-") or names:
            yield word
            if not (equals or names):
                yield next(waiting, "")


def _run_verb(words: list[str]) -> int:
    from .._arguments import parse
    from ._parser import keywords, new_program_parser, verb_function

    parser = new_program_parser(DESCRIPTION, VERBS, wanted=words[:2])
    require_trusted_names("what the command line names", list(_without_places(words)))
    options = parse(parser, words)
    function = verb_function(options.verb)
    given = keywords(parser, options)
    given.pop("trust", None)
    from ._outcome import require_places  # after --help, which waits for no library

    require_places(given)
    if not (given.pop("quiet") or options.quiet):
        return function(**given)
    from ._quiet import quiet

    with quiet():
        return function(**given)
