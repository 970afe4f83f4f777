"""Every figure and table of the papers.

A module `PAPER/NAME.py` holds one artefact, or a family of them that are measured alike. An
artefact is a variable in lower case with its title below it:

    figure3 = Artefact(...)
    "Figure 3: what it shows."

It states what the paper claims and how to measure it at three sizes. Its name is the paper and
the variable, `PAPER/figure3`; nothing else has to be told that it exists. A module whose name
begins with an underscore holds none.

One seed is one draw of everything: of the images, where they are drawn, of the initial weights,
the gates and the order of batches. Variants that are compared share the draw.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._registry import load, titles

if TYPE_CHECKING:
    from ._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile, Verdict
    from ._decide import decide
    from ._reproduce import Result, reproduce

__all__ = [
    # define
    "Artefact",
    "Claim",
    "Context",
    "Measurement",
    "Outcome",
    "Profile",
    # find and run
    "Result",
    "Verdict",
    "decide",
    "load",
    "reproduce",
    "titles",
]

# Imported when first used: to list titles need not wait for torch and the libraries of charts.
_HOMES = {"_decide": ("decide",), "_reproduce": ("Result", "reproduce")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "_artefact")
    return getattr(import_module(f".{home}", __name__), name)
