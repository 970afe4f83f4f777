"""Section 7: regularisers side by side, alone and together."""

from .._artefact import Artefact, Context, Outcome
from .._claim import Claim
from .._experiment import Experiment, known, lower_by, remarks
from ..huang2016._against_constant import curves, epochs
from ._experiment import profiles, runs
from ._regularizers import ALL, NONE, ON, SIDE_BY_SIDE, STOCHASTIC

SOURCE = "Stochastic Depth — Training a Deep Network That's Sometimes Shallow, section 7"

GAIN = "points by which {} lowers the test error"
BEYOND = "points by which the others lower the test error of stochastic depth alone"


def run(experiment: Experiment, context: Context) -> Outcome:
    """Train every variant."""
    comparison = runs(experiment, context)
    found = {GAIN.format(name): lower_by(comparison, NONE, name) for name in (*ON, ALL)}
    found[BEYOND] = lower_by(comparison, STOCHASTIC, ALL)
    return Outcome(
        known({name: value for name, value in found.items() if name in CLAIMED}),
        epochs(comparison),
        curves(comparison, "test_error"),
        remarks(comparison),
    )


CLAIMED = (GAIN.format(STOCHASTIC), GAIN.format(ALL), BEYOND)

ARTEFACT = Artefact(
    name="backbone/regularizers",
    source=SOURCE,
    claims=tuple(
        Claim(name, 0.0, f"{SOURCE}: they work in concert", relation=">=") for name in CLAIMED
    ),
    profiles=profiles("regularizers", SIDE_BY_SIDE),
    run=run,
)
