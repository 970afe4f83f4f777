"""Every figure and table of the papers, one file each.

An artefact is a file `PAPER/NAME.py` that defines `ARTEFACT`: what the paper states, as
claims, and how to measure it at three sizes. Its name is `PAPER/NAME`; nothing else has to
be told that the file exists. A module whose name begins with an underscore is no artefact.
"""

from ._artefact import Artefact, Context, Outcome, Profile
from ._claim import Claim, Measurement, Verdict
from ._registry import load, titles
from ._result import Result, reproduce

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
    "load",
    "reproduce",
    "titles",
]
