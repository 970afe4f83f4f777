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

from ._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile, Verdict
from ._reproduce import Result, load, reproduce, titles

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
