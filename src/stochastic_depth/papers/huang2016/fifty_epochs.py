"""Fifty epochs of ResNet-110 on CIFAR-10: 57 min 48 s at constant depth, 43 min 26 s without."""

from ...experiments import LIVE_COST, SECONDS, Comparison, RunRecord
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from .._experiment import CONSTANT, STOCHASTIC, Experiment, by_seed, known, mean, remarks, trained
from ._against_constant import curves, epochs
from ._profiles import CPU, SHIFTED, profiles

SOURCE = "student reproduction of figure 3 of Huang et al. 2016"

RATIO = "training time of fifty epochs, stochastic over constant depth"
TO_IDEAL = "that ratio over the live share of the cost"

CONSTANT_SECONDS, STOCHASTIC_SECONDS = 57 * 60 + 48, 43 * 60 + 26


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train both for fifty epochs."""
    comparison = trained(experiment, context)
    figure = curves(comparison, "timing")
    return Outcome(_measurements(comparison), epochs(comparison), figure, remarks(comparison))


def _measurements(comparison: Comparison) -> dict[str, Measurement]:
    numbers = {RATIO: _ratio, TO_IDEAL: _to_ideal}
    return known(
        {
            name: mean(by_seed(comparison, CONSTANT, STOCHASTIC, number))
            for name, number in numbers.items()
        }
    )


def _ratio(base: RunRecord, run: RunRecord) -> float:
    return (SECONDS(run) or 0.0) / (SECONDS(base) or 1.0)


def _to_ideal(base: RunRecord, run: RunRecord) -> float:
    return _ratio(base, run) / (LIVE_COST(run) or 1.0)


# All the layers and all the epochs, but few and small images.
SHORT = {
    "model.init_args.depth": 110,
    "data.limit": 512,
    "data.validation": 100,
    "data.test_limit": 100,
    "batch_size": 128,
    "evaluate_every": 50,
    "checkpoint_every": 10,
}

ARTEFACT = Artefact(
    name="huang2016/fifty_epochs",
    source=SOURCE,
    claims=(
        # Other machines: 0.73 in Table 2, 0.80 by the authors' program, 0.82 by a port of it.
        Claim(RATIO, STOCHASTIC_SECONDS / CONSTANT_SECONDS, SOURCE, tolerance=0.05),
        Claim(TO_IDEAL, 1.05, "a dropped block costs nothing", relation="<="),
    ),
    profiles=profiles(
        "fifty-epochs",
        "huang2016_cifar10",
        CPU | SHIFTED | SHORT | {"epochs": 50},
        paper={"epochs": 50},
    ),
    run=run,
)
