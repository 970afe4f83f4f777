"""Many runs: comparisons, sweeps over grids, the search for a rate, the diagnosis of a run."""

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
from ._comparison import Comparison, results
from ._configurations import differing_fields
from ._grid import parse_grid
from ._jobs import Plan
from ._rate import CANDIDATES, rate
from ._rate_result import CONSTANT, VALIDATION_ERROR, Rate, Rung
from ._run_diagnosis import RunDiagnosis, diagnose
from ._statistics import SIGNIFICANT, PairedDifference, Spread, anytime_reach, reach
from ._study import CONSTANT_AGAINST_STOCHASTIC, compare, parse_variant, sweep
from ._sweep_tables import Sweep

__all__ = [
    "CANDIDATES",
    "CONSTANT",
    "CONSTANT_AGAINST_STOCHASTIC",
    "EPOCH_SECONDS",
    "LIVE_COST",
    "LIVE_SHARE",
    "SECONDS",
    "SIGNIFICANT",
    "TEST_ERROR_AT_BEST",
    "TEST_ERROR_LAST",
    "TRAIN_ERROR_FINAL",
    "TRAIN_ERROR_RUNNING",
    "VALIDATION_ERROR",
    "BlockRecord",
    "Comparison",
    "Measure",
    "PairedDifference",
    "Plan",
    "Rate",
    "RunDiagnosis",
    "RunRecord",
    "Rung",
    "Spread",
    "Summary",
    "Sweep",
    "anytime_reach",
    "compare",
    "diagnose",
    "differing_fields",
    "parse_grid",
    "parse_variant",
    "rate",
    "reach",
    "results",
    "sweep",
]
