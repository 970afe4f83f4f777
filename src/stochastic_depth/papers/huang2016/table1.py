"""Table 1: test errors on CIFAR-10, CIFAR-100 and SVHN, constant and stochastic depth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import altair as alt
import polars as pl

from ...experiments import Comparison
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome, Profile
from .._experiment import (
    CONSTANT,
    STOCHASTIC,
    Experiment,
    errors_of,
    known,
    lower_by,
    mean,
    remarks,
    trained,
)
from ._profiles import CPU, profiles
from .training_curves import (
    CIFAR10,
    CIFAR10_PRINTED,
    CIFAR100,
    CIFAR100_PRINTED,
    SVHN,
    SVHN_PRINTED,
    TOLERANCE,
)

SOURCE = "Huang et al. 2016, Table 1 and section 4"

PLAIN = {"data.flip": False, "data.shift": 0}

Column = Mapping[Profile, Experiment]

# "+" is the paper's mark of augmented images.
COLUMNS: Mapping[str, tuple[Column, Mapping[str, float]]] = {
    "CIFAR-10+": (CIFAR10, CIFAR10_PRINTED),
    "CIFAR-100+": (CIFAR100, CIFAR100_PRINTED),
    "SVHN": (SVHN, SVHN_PRINTED),
    "CIFAR-10": (
        profiles("cifar10-plain", "huang2016_cifar10", CPU | PLAIN, paper=PLAIN),
        {CONSTANT: 13.63, STOCHASTIC: 11.66},
    ),
    "CIFAR-100": (
        profiles("cifar100-plain", "huang2016_cifar100", CPU | PLAIN, paper=PLAIN),
        {CONSTANT: 44.74, STOCHASTIC: 37.8},
    ),
}
FOLDERS = {
    "CIFAR-10+": "cifar10",
    "CIFAR-10": "cifar10",
    "CIFAR-100+": "cifar100",
    "CIFAR-100": "cifar100",
    "SVHN": "svhn",
}


@dataclass(frozen=True)
class Settings:
    """One experiment per column."""

    columns: Mapping[str, Experiment]


def run(settings: Settings, context: Context) -> Outcome:
    """Train every column whose images are there: in a folder of its name under the data."""
    there = {name: _within(context, name) for name in settings.columns}
    comparisons = {
        name: trained(settings.columns[name], inside) for name, inside in there.items() if inside
    }
    found = _gaps(comparisons)
    if settings == table1.profiles["paper"]:
        found |= _errors(comparisons)
    data = _table(comparisons)
    absent = [f"{name} was left out: no {FOLDERS[name]}." for name in there if not there[name]]
    said = dict.fromkeys(note for each in comparisons.values() for note in remarks(each))
    return Outcome(found, data, _figure(data), (*absent, *said))


def _within(context: Context, column: str) -> Context | None:
    """Return where the images of a column are, None if they are not there."""
    if context.data is None:
        return context
    folder = context.data / FOLDERS[column]
    return replace(context, data=folder) if folder.is_dir() else None


def _gap(column: str) -> str:
    return f"test error of constant minus that of stochastic depth on {column}, points"


def _cell(column: str, variant: str) -> str:
    return f"test error on {column}, {variant} depth, %"


def _gaps(comparisons: Mapping[str, Comparison]) -> dict[str, Measurement]:
    return known({_gap(n): lower_by(c, CONSTANT, STOCHASTIC) for n, c in comparisons.items()})


def _errors(comparisons: Mapping[str, Comparison]) -> dict[str, Measurement]:
    return known(
        {
            _cell(name, variant): mean(list(errors_of(comparison, variant).values()))
            for name, comparison in comparisons.items()
            for variant in (CONSTANT, STOCHASTIC)
        }
    )


def _table(comparisons: Mapping[str, Comparison]) -> pl.DataFrame:
    rows = [
        (name, variant, seed, error, COLUMNS[name][1][variant])
        for name, comparison in comparisons.items()
        for variant in (CONSTANT, STOCHASTIC)
        for seed, error in errors_of(comparison, variant).items()
    ]
    columns = ["column", "variant", "seed", "test_error", "printed"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _figure(data: pl.DataFrame) -> Figure:
    base = alt.Chart(data).encode(
        y=alt.Y("column:N", title=None, sort=list(COLUMNS)),
        color=alt.Color("variant:N", scale=alt.Scale(domain=[CONSTANT, STOCHASTIC])),
        yOffset=alt.YOffset("variant:N"),
    )
    x = alt.X("test_error:Q", title="test error, %")
    printed = base.mark_tick(thickness=3).encode(x="printed:Q")
    chart = alt.LayerChart(layer=[base.mark_point().encode(x=x), printed])
    caption = "Points: one run each; ticks: what is printed."
    return Figure("table1", "Test errors", caption, caption, chart)


def _settings(profile: Profile) -> Settings:
    return Settings({name: column[profile] for name, (column, _) in COLUMNS.items()})


table1 = Artefact(
    name="huang2016/table1",
    source=SOURCE,
    claims=(
        *(Claim(_gap(column), 0.0, SOURCE, relation=">=") for column in COLUMNS),
        *(
            Claim(_cell(column, variant), error, SOURCE, TOLERANCE)
            for column, (_, printed) in COLUMNS.items()
            for variant, error in printed.items()
        ),
    ),
    profiles={
        "smoke": Settings({"CIFAR-10+": CIFAR10["smoke"]}),
        "cpu": _settings("cpu"),
        "paper": _settings("paper"),
    },
    run=run,
)
"""Table 1: test errors on CIFAR-10, CIFAR-100 and SVHN, constant and stochastic depth."""
