"""Translation: a block's own forward, as residual steps that a gate can execute.

A foreign block is followed one level deep into a graph (`_trace`), its residual
additions are found (`_joins`), the branches that end there are cut out (`_slice`) and
written as functions (`_code`), and the result is a program (`_program`) that is checked
against the original (`_verify`). The project's own blocks need none of this (`_own`).
"""

from ._call import Call
from ._declared import (
    BranchFunction,
    Declaration,
    Declared,
    PartFunction,
    declare,
    is_declared,
)
from ._errors import CannotTranslate, NotResidual
from ._foreign import Foreign
from ._inline import delegates
from ._own import Own, branch_of
from ._program import Branch
from ._protocol import Translation
from ._sites import is_mask, masks, sites
from ._verify import cloned, isolated_rng

__all__ = [
    # how to run a block under gates
    "Branch",
    "Call",
    "Foreign",
    "Own",
    "Translation",
    "branch_of",
    "delegates",
    # what users say
    "BranchFunction",
    "Declaration",
    "Declared",
    "PartFunction",
    "declare",
    "is_declared",
    # why there is no way
    "CannotTranslate",
    "NotResidual",
    # drop sites
    "is_mask",
    "masks",
    "sites",
    # running a model without leaving a trace
    "cloned",
    "isolated_rng",
]
