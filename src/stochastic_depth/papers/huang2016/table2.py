"""Table 2: training time, constant and stochastic depth."""

from dataclasses import dataclass

from .._artefact import Artefact, Context, Outcome
from .._claim import Claim
from ._timing import SPARE_TIME, Timing, figure, rounds, saved, timed, to_ideal

SOURCE = "Huang et al. 2016, Table 2"

# Hours and minutes of 500 epochs (SVHN: 50), constant and stochastic depth.
PRINTED = {
    "CIFAR-10": ((20, 42), (15, 7)),
    "CIFAR-100": ((20, 51), (15, 20)),
    "SVHN": ((33, 43), (25, 33)),
}
# Points. The same networks on the same machine differ by three among the columns.
TOLERANCE = 5.0


@dataclass(frozen=True)
class Settings:
    """The networks: a column of the table each.

    CIFAR-100 differs from CIFAR-10 in its last layer alone, a ten-thousandth of a step, and
    is not timed again.
    """

    timings: tuple[Timing, ...] = (Timing("CIFAR-10", 110), Timing("SVHN", 152))


def run(settings: Settings, context: Context) -> Outcome:
    """Time a step of every network."""
    results = [timed(timing) for timing in context.track(settings.timings, "timing networks")]
    found = {}
    for timing, result in zip(settings.timings, results, strict=True):
        found[_saved(timing.name)] = saved(result)
        found[_to_ideal(timing.name)] = to_ideal(result)
    data = rounds(settings.timings, results)
    return Outcome(found, data, figure("table2", data), NOTES)


NOTES = (
    "A step of training is timed, not an epoch: images, evaluation and records are left out.",
    "The saving of CIFAR-100 is not measured apart from that of CIFAR-10.",
)


def _saved(column: str) -> str:
    return f"time saved on {column}, %"


def _to_ideal(column: str) -> str:
    return f"step over the ideal on {column}"


def _printed(column: str) -> float:
    constant, stochastic = (60 * hours + minutes for hours, minutes in PRINTED[column])
    return 100 * (1 - stochastic / constant)


ARTEFACT = Artefact(
    name="huang2016/table2",
    source=SOURCE,
    claims=(
        *(Claim(_saved(column), _printed(column), SOURCE, TOLERANCE) for column in PRINTED),
        *(
            Claim(_to_ideal(column), SPARE_TIME, "a dropped block costs nothing", relation="<=")
            for column in ("CIFAR-10", "SVHN")
        ),
    ),
    profiles={
        "smoke": Settings((Timing("CIFAR-10", 8, batch_size=2, image_size=8, rounds=2),)),
        "cpu": Settings(),
        "paper": Settings((Timing("CIFAR-10", 110, rounds=25), Timing("SVHN", 152, rounds=25))),
    },
    run=run,
)
