"""Translation: a block's own forward, as residual steps that a gate can execute.

A foreign block is followed one level deep into a graph (`_trace`), its residual
additions are found (`_joins`), the branches that end there are cut out (`_slice`) and
written as functions (`_code`), and the result is a program (`_program`) that is checked
against the original (`_verify`). The project's own blocks need none of this (`_own`).
"""

from ._call import Call
from ._code import TAKE, Copies
from ._foreign import CannotTranslate, Foreign, NotResidual
from ._own import Own, branch_of
from ._program import Branch, Program, Step
from ._protocol import Translation
from ._sites import is_mask, masks, sites
from ._trace import trace
from ._verify import cloned, isolated_rng

__all__ = [
    # what was found in a block, and how to run it
    "Branch",
    "Foreign",
    "Own",
    "Program",
    "Step",
    "Translation",
    "branch_of",
    # why there is none
    "CannotTranslate",
    "NotResidual",
    # drop sites
    "is_mask",
    "masks",
    "sites",
    # graphs, for extraction
    "TAKE",
    "Call",
    "Copies",
    "trace",
    # running a model without a trace
    "cloned",
    "isolated_rng",
]
