"""Figures 3, 4 and 7: test error and gradient over training, constant and stochastic depth."""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from ...experiments import TRAIN_ERROR_RUNNING, Comparison, RunRecord
from .._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile
from .._experiment import (
    CONSTANT,
    STOCHASTIC,
    Experiment,
    Pair,
    by_seed,
    curves,
    epochs,
    errors_of,
    known,
    lower_by,
    mean,
    remarks,
    trained,
)
from ._profiles import CPU, SHIFTED, profiles

REPRODUCTION = "observed in a student reproduction of figure 3"

LOWER = "test error of constant minus that of stochastic depth, points"
HIGHER_TRAINING = "training error of stochastic minus that of constant depth, points"
FLUCTUATION = "fluctuation of the test error, stochastic over constant depth"
OVERHEAD = "fastest epoch over that at constant depth, over the live share of its cost"

NOTE = (
    "Epochs are timed by the clock on the wall, neighbours on the machine included; `table2` "
    "times steps that take turns."
)

# What a step of a small network does besides running blocks; the paper names no number.
SPARE_TIME = 1.05


def claims(source: str) -> tuple[Claim, ...]:
    """Return what is claimed of every pair of curves.

    Args:
        source: where the curves are printed.
    """
    return (
        Claim(LOWER, 0.0, source, relation=">="),
        Claim(HIGHER_TRAINING, 0.0, REPRODUCTION, relation=">="),
        Claim(FLUCTUATION, 1.0, REPRODUCTION, relation=">="),
        Claim(OVERHEAD, SPARE_TIME, "a dropped block costs nothing", relation="<="),
    )


def measurements(comparison: Comparison) -> dict[str, Measurement]:
    """Return what `claims` names, as means over the seeds that both variants finished."""
    pairs: dict[str, Pair] = {
        HIGHER_TRAINING: lambda base, run: _minus(
            TRAIN_ERROR_RUNNING(run), TRAIN_ERROR_RUNNING(base)
        ),
        FLUCTUATION: lambda base, run: _over(fluctuation(run), fluctuation(base)),
        OVERHEAD: lambda base, run: _over(fastest_epoch(run), fastest_epoch(base)),
    }
    found = {
        name: mean(by_seed(comparison, CONSTANT, STOCHASTIC, number))
        for name, number in pairs.items()
    }
    return known({LOWER: lower_by(comparison, CONSTANT, STOCHASTIC), **found})


def fluctuation(run: RunRecord) -> float | None:
    """Return how far the test error moves between evaluations while the rate is at its first value.

    The root mean square of second differences, which a steady descent leaves at zero; None of
    fewer than three evaluations.
    """
    first = run.metrics.filter(lr=run.metrics["lr"][0])
    errors = first["test_error"].drop_nulls().to_numpy()
    if len(errors) < 3:
        return None
    return float(np.sqrt(np.mean(np.diff(errors, n=2) ** 2)))


def fastest_epoch(run: RunRecord) -> float | None:
    """Return the least seconds of an epoch over the share of the cost that was live in it.

    The fastest epoch is the one that neighbours on the machine disturbed least.
    """
    per_share = run.metrics["seconds"] / run.metrics["realised_cost"]
    return None if per_share.is_empty() else float(per_share.to_numpy().min())


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


# "Around 0.2 %" is the variation between runs that the authors announce.
TOLERANCE = 0.2


def against_constant(
    name: str,
    source: str,
    profiles: Mapping[Profile, Experiment],
    printed: Mapping[str, float],
) -> Artefact:
    """Return the artefact of one figure.

    Args:
        name: of the artefact.
        source: where it is printed.
        profiles: experiments with the variants "constant" and "stochastic".
        printed: test errors in per cent by variant. They are compared at the paper's own size
            alone.
    """

    def run(experiment: Experiment, context: Context) -> Outcome:
        comparison = trained(experiment, context)
        found = measurements(comparison)
        if experiment == profiles["paper"]:
            found |= errors(comparison, printed)
        figure = curves(comparison, "test_error")
        return Outcome(found, epochs(comparison), figure, (*remarks(comparison), NOTE))

    errors_printed = (
        Claim(error_of(variant), value, source, TOLERANCE) for variant, value in printed.items()
    )
    return Artefact(
        name=f"huang2016/{name}",
        source=source,
        claims=(*claims(source), *errors_printed),
        profiles=profiles,
        run=run,
    )


def error_of(variant: str) -> str:
    """Return the name of the claim of a test error."""
    return f"test error, {variant} depth, %"


def errors(comparison: Comparison, variants: Mapping[str, float]) -> dict[str, Measurement]:
    """Return the mean test error of variants, by the name of its claim."""
    return known(
        {error_of(name): mean(list(errors_of(comparison, name).values())) for name in variants}
    )


CIFAR10 = profiles("cifar10", "huang2016_cifar10", CPU | SHIFTED)
CIFAR10_PRINTED = {"constant": 6.41, "stochastic": 5.25}

figure3_cifar10 = against_constant(
    "figure3_cifar10", "Huang et al. 2016, figure 3, left", CIFAR10, CIFAR10_PRINTED
)
"""Figure 3, left: test error of ResNet-110 on CIFAR-10, constant and stochastic depth."""


CIFAR100 = profiles("cifar100", "huang2016_cifar100", CPU | SHIFTED)
# Table 1; the text of section 4 has 27.22 for constant depth.
CIFAR100_PRINTED = {"constant": 27.76, "stochastic": 24.98}

figure3_cifar100 = against_constant(
    "figure3_cifar100", "Huang et al. 2016, figure 3, right", CIFAR100, CIFAR100_PRINTED
)
"""Figure 3, right: test error of ResNet-110 on CIFAR-100, constant and stochastic depth."""


SVHN = profiles("svhn", "huang2016_svhn", CPU | {"epochs": 50, "evaluate_every_steps": None})
SVHN_PRINTED = {"constant": 1.80, "stochastic": 1.75}

figure4_svhn = against_constant(
    "figure4_svhn", "Huang et al. 2016, figure 4, left", SVHN, SVHN_PRINTED
)
"""Figure 4, left: test error of ResNet-152 on SVHN, constant and stochastic depth."""


# As deep as an hour on two cores allows: 110 layers, half as wide, 30 epochs.
DEEP = {"model.init_args.depth": 110, "model.init_args.width": 8, "epochs": 30}

CIFAR10_1202 = profiles("cifar10-1202", "huang2016_cifar10_1202", CPU | SHIFTED | DEEP)
PRINTED_1202 = {"constant": 6.67, "stochastic": 4.91}

figure4_1202 = against_constant(
    "figure4_1202", "Huang et al. 2016, figure 4, right", CIFAR10_1202, PRINTED_1202
)
"""Figure 4, right: test error of ResNet-1202 on CIFAR-10, constant and stochastic depth."""


FIGURE7 = "Huang et al. 2016, figure 7"

GRADIENT_RATIO = "gradient of stochastic over constant depth, geometric mean of the epochs"
LARGER = "share of the epochs in which that of stochastic depth is larger"
DROPS = "that ratio after the first drop of the learning rate, over that before"


def compare_gradients(experiment: Experiment, context: Context) -> Outcome:
    """Compare the gradients of the networks of figure 3, epoch by epoch."""
    comparison = trained(experiment, context)
    data = epochs(comparison).select("variant", "seed", "epoch", "lr", "gradient_first_convolution")
    figure = curves(comparison, "gradient")
    return Outcome(_gradients(comparison), data, figure, remarks(comparison))


def _gradients(comparison: Comparison) -> dict[str, Measurement]:
    numbers = {GRADIENT_RATIO: _ratio, LARGER: _larger, DROPS: _after_drop}
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


figure7 = Artefact(
    name="huang2016/figure7",
    source=FIGURE7,
    claims=(
        Claim(GRADIENT_RATIO, 1.0, FIGURE7, relation=">="),
        # "Always" in the figure; epochs in which the curves touch are forgiven.
        Claim(LARGER, 1.0, FIGURE7, tolerance=0.1),
        Claim(DROPS, 1.0, FIGURE7, relation=">="),
    ),
    profiles=CIFAR10,
    run=compare_gradients,
)
"""Figure 7: the gradient that reaches the first block of ResNet-110 on CIFAR-10."""
