"""Figure 7: the gradient that reaches the first block of ResNet-110 on CIFAR-10."""

import math

import polars as pl

from ...experiments import Comparison, RunRecord
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from .._experiment import CONSTANT, STOCHASTIC, Experiment, by_seed, known, mean, remarks, trained
from ._against_constant import curves, epochs
from .figure3_cifar10 import PROFILES

SOURCE = "Huang et al. 2016, figure 7"

RATIO = "gradient of stochastic over constant depth, geometric mean of the epochs"
LARGER = "share of the epochs in which that of stochastic depth is larger"
DROPS = "that ratio after the first drop of the learning rate, over that before"


def run(experiment: Experiment, context: Context) -> Outcome:
    """Compare the gradients of the networks of figure 3, epoch by epoch."""
    comparison = trained(experiment, context)
    data = epochs(comparison).select("variant", "seed", "epoch", "lr", "gradient_first_convolution")
    figure = curves(comparison, "gradient")
    return Outcome(_measurements(comparison), data, figure, remarks(comparison))


def _measurements(comparison: Comparison) -> dict[str, Measurement]:
    numbers = {RATIO: _ratio, LARGER: _larger, DROPS: _after_drop}
    return known(
        {
            name: mean(by_seed(comparison, CONSTANT, STOCHASTIC, number))
            for name, number in numbers.items()
        }
    )


def _ratio(base: RunRecord, run: RunRecord) -> float:
    return _geometric_mean(_by_epoch(base, run))


def _larger(base: RunRecord, run: RunRecord) -> float:
    return float((_by_epoch(base, run)["logarithm"] > 0).cast(pl.Float64).to_numpy().mean())


def _after_drop(base: RunRecord, run: RunRecord) -> float | None:
    ratios = _by_epoch(base, run)
    dropped = pl.col("lr") < ratios["lr"][0]
    before, after = ratios.filter(~dropped), ratios.filter(dropped)
    if after.is_empty():
        return None
    return _geometric_mean(after) / _geometric_mean(before)


def _by_epoch(base: RunRecord, run: RunRecord) -> pl.DataFrame:
    """Return learning rate and logarithm of the ratio of the gradients, epoch by epoch."""
    columns = ["epoch", "lr", "gradient_first_convolution"]
    both = base.metrics.select(columns).join(run.metrics.select(columns), on="epoch")
    gradient = pl.col("gradient_first_convolution")
    ratio = pl.col("gradient_first_convolution_right") / gradient
    return both.filter(gradient > 0, ratio > 0).select("lr", logarithm=ratio.log())


def _geometric_mean(ratios: pl.DataFrame) -> float:
    return math.exp(float(ratios["logarithm"].to_numpy().mean()))


ARTEFACT = Artefact(
    name="huang2016/figure7",
    source=SOURCE,
    claims=(
        Claim(RATIO, 1.0, SOURCE, relation=">="),
        # "Always" in the figure; epochs in which the curves touch are forgiven.
        Claim(LARGER, 1.0, SOURCE, tolerance=0.1),
        Claim(DROPS, 1.0, SOURCE, relation=">="),
    ),
    profiles=PROFILES,
    run=run,
)
