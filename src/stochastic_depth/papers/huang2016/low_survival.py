"""Section 5: at p_L = 0.2 the error of constant depth, in 40 % less time."""

from dataclasses import dataclass, replace

from .._artefact import Artefact, Context, Outcome, Profile
from .._claim import Claim
from .._experiment import CONSTANT, Experiment, known, lower_by, remarks, trained
from . import figure8_survival
from ._timing import SPARE_TIME, Timing, figure, rounds, saved, timed, to_ideal

SOURCE = "Huang et al. 2016, section 5"

SAVED = "time saved, %"
TO_IDEAL = "step over the ideal"
LOWER = "test error of constant depth minus that of linear at 0.2, points"

LOW = "linear 0.2"


@dataclass(frozen=True)
class Settings:
    """Training, for the error, and a step, for the time."""

    experiment: Experiment
    timing: Timing


def run(settings: Settings, context: Context) -> Outcome:
    """Train both networks, and time their steps."""
    comparison = trained(settings.experiment, context)
    result = timed(settings.timing)
    error = lower_by(comparison, CONSTANT, LOW)
    found = known({LOWER: error, SAVED: saved(result), TO_IDEAL: to_ideal(result)})
    data = rounds((settings.timing,), [result])
    return Outcome(found, data, figure("low_survival", data), remarks(comparison))


def _settings(profile: Profile, timing: Timing) -> Settings:
    """Return two of the variants of figure 8, so that runs of it are not trained again."""
    grid = figure8_survival.ARTEFACT.profiles[profile]
    both = {CONSTANT: grid.variants[CONSTANT], LOW: figure8_survival.variants(0.2)[LOW]}
    return Settings(replace(grid, variants=both), timing)


ARTEFACT = Artefact(
    name="huang2016/low_survival",
    source=SOURCE,
    claims=(
        Claim(LOWER, 0.0, SOURCE, tolerance=0.5),
        Claim(SAVED, 40.0, SOURCE, tolerance=5.0),
        Claim(TO_IDEAL, SPARE_TIME, "a dropped block costs nothing", relation="<="),
    ),
    profiles={
        "smoke": _settings(
            "smoke", Timing("ResNet-8", 8, 0.2, batch_size=2, image_size=8, rounds=2)
        ),
        "cpu": _settings("cpu", Timing("ResNet-110", 110, 0.2)),
        "paper": _settings("paper", Timing("ResNet-110", 110, 0.2, rounds=25)),
    },
    run=run,
)
