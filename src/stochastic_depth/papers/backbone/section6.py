"""Section 6: stochastic depth against plain dropout, in error and in time."""

from ...experiments import Comparison
from .._artefact import Artefact, Context, Outcome
from .._claim import Claim, Measurement
from .._experiment import Experiment, known, lower_by, remarks
from ..huang2016._against_constant import curves, epochs
from ._experiment import profiles, runs, time_ratio
from ._regularizers import AGAINST_DROPOUT, DROPOUT, NONE, STOCHASTIC

SOURCE = "Stochastic Depth — Training a Deep Network That's Sometimes Shallow, section 6"

TIME = "time of an epoch with {} over that without"
GAIN = "points by which {} lowers the test error"
FASTER = "points by which stochastic depth lowers the test error of dropout"

# How far two timings of one and the same network differ on a machine that others use.
SPREAD = 0.05


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train without either, with dropout, and with stochastic depth."""
    comparison = runs(experiment, context)
    return Outcome(
        known(_found(comparison)),
        epochs(comparison),
        curves(comparison, "test_error"),
        (*remarks(comparison), *NOTES),
    )


def _found(comparison: Comparison) -> dict[str, Measurement | None]:
    kinds = (DROPOUT, STOCHASTIC)
    return {
        **{TIME.format(kind): time_ratio(comparison, NONE, kind) for kind in kinds},
        **{GAIN.format(kind): lower_by(comparison, NONE, kind) for kind in kinds},
        FASTER: lower_by(comparison, DROPOUT, STOCHASTIC),
    }


NOTES = (
    "Dropout of 0.2 stands before the last convolution of every bottleneck; the source names "
    "neither a place nor a rate.",
    "All variants have the recipe's augmentation and average of the weights, and neither weight "
    "decay nor label smoothing.",
    "That dropout shreds the spatial structure of a feature map, and stochastic depth does not, "
    "is seen from what they are and not measured.",
)

ARTEFACT = Artefact(
    name="backbone/section6",
    source=SOURCE,
    claims=(
        Claim(TIME.format(DROPOUT), 1.0, f"{SOURCE}, compute", tolerance=SPREAD),
        Claim(TIME.format(STOCHASTIC), 1.0, f"{SOURCE}, compute", relation="<="),
        Claim(GAIN.format(DROPOUT), 0.0, f"{SOURCE}, batch normalisation", relation="<="),
        Claim(GAIN.format(STOCHASTIC), 0.0, SOURCE, relation=">="),
        Claim(FASTER, 0.0, SOURCE, relation=">="),
    ),
    profiles=profiles("section6", AGAINST_DROPOUT),
    run=run,
)
