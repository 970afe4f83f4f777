"""Running many: variants against each other, grids of them, and the record of a run."""

from ..training.record import BlockRecord, Summary
from ..training.run_record import (
    EPOCH_SECONDS,
    LIVE_COST,
    LIVE_SHARE,
    SECONDS,
    TEST_ERROR_AT_BEST,
    TEST_ERROR_LAST,
    TRAIN_ERROR_FINAL,
    TRAIN_ERROR_RUNNING,
    Measure,
    RunRecord,
)
from ._compare import compare
from ._comparison import Comparison
from ._configuration import differing_fields
from ._diagnosis import RunDiagnosis, diagnose
from ._grid import parse_grid
from ._plan import Plan
from ._results import results
from ._statistics import LEAST_SEEDS_FOR_P, PairedDifference, Spread
from ._sweep import sweep
from ._sweep_tables import Sweep
from ._variants import CONSTANT_AGAINST_STOCHASTIC, parse_variant

__all__ = [
    "CONSTANT_AGAINST_STOCHASTIC",
    "EPOCH_SECONDS",
    "LEAST_SEEDS_FOR_P",
    "LIVE_COST",
    "LIVE_SHARE",
    "SECONDS",
    "TEST_ERROR_AT_BEST",
    "TEST_ERROR_LAST",
    "TRAIN_ERROR_FINAL",
    "TRAIN_ERROR_RUNNING",
    "BlockRecord",
    "Comparison",
    "Measure",
    "PairedDifference",
    "Plan",
    "RunDiagnosis",
    "RunRecord",
    "Spread",
    "Summary",
    "Sweep",
    "compare",
    "diagnose",
    "differing_fields",
    "parse_grid",
    "parse_variant",
    "results",
    "sweep",
]
