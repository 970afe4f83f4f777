"""A table of test errors by mode and budget, and the budget hypothesis on it."""

from collections.abc import Mapping

import altair as alt
import polars as pl
import torch

from ...experiments import Comparison
from ...reports import Figure
from .._artefact import Artefact, Context, Outcome, Profile
from .._claim import Claim, Measurement
from ._modes import LINEAR, STANDARD, UNIFORM
from ._shares import mean_over_networks
from ._sweep import SENSE, SweepSettings, errors_by_seed, modes, sweep

# Two standard errors of a mean of the paper's four runs are about their deviation, 0.1 to
# 0.5 points; ours add their own.
TOLERANCE = 0.5
SMALL, LARGE = (0.2, 0.3), (0.7, 0.8)


def budget_table(
    name: str,
    source: str,
    profiles: Mapping[Profile, SweepSettings],
    printed: Mapping[str, float] | None = None,
) -> Artefact:
    """Return the artefact of one table.

    Args:
        name: of the artefact.
        source: where it is printed.
        profiles: sweeps.
        printed: test errors in per cent by `"MODE BUDGET"`, where they are known. They are
            compared at the paper's own size alone.
    """
    cells = printed or {}

    def run(settings: SweepSettings, context: Context) -> Outcome:
        comparison = sweep(settings, context)
        data = _table(comparison, settings)
        found = _hypothesis(comparison, settings)
        if settings == profiles["paper"]:
            found |= {_cell(variant): _error(comparison, variant) for variant in cells}
        return Outcome(found, data, _figure(name, data, settings), NOTES)

    return Artefact(
        name=f"hayou2021/{name}",
        source=source,
        claims=(
            *_hypothesis_claims(),
            *(Claim(_cell(key), value, source, TOLERANCE) for key, value in cells.items()),
        ),
        profiles=profiles,
        run=run,
    )


NOTES = (
    "The paper does not say on how many batches sensitivities are taken, nor with which "
    "optimiser, length and batch size it trains; ours are in the settings.",
    "Printed test errors are claimed at the paper's own size alone.",
)


def _cell(variant: str) -> str:
    return f"test error of {variant}, %"


def _gap(budget: float) -> str:
    return f"test error of uniform minus that of SenseMode at budget {budget:g}, points"


def _hypothesis_claims() -> tuple[Claim, ...]:
    hypothesis = "Hayou & Ayed 2021, budget hypothesis"
    small = (Claim(_gap(budget), 0.0, hypothesis, relation=">=") for budget in SMALL)
    large = (Claim(_gap(budget), 0.0, hypothesis, relation="<=") for budget in LARGE)
    return (*small, *large)


def _hypothesis(comparison: Comparison, settings: SweepSettings) -> dict[str, Measurement]:
    """Return uniform minus SenseMode, seed by seed, where two seeds or more have both."""
    found = {}
    for budget in (*SMALL, *LARGE):
        if budget not in settings.budgets:
            continue
        uniform, sense = (
            errors_by_seed(comparison, f"{mode} {budget:g}") for mode in (UNIFORM, SENSE)
        )
        gaps = [uniform[seed] - sense[seed] for seed in uniform if seed in sense]
        if len(gaps) > 1:
            found[_gap(budget)] = mean_over_networks(torch.tensor(gaps, dtype=torch.float64))
    return found


def _error(comparison: Comparison, variant: str) -> Measurement:
    values = list(errors_by_seed(comparison, variant).values())
    return mean_over_networks(torch.tensor(values, dtype=torch.float64))


def _table(comparison: Comparison, settings: SweepSettings) -> pl.DataFrame:
    rows = [
        (mode, budget, seed, error)
        for budget in settings.budgets
        for mode in modes(budget)
        for seed, error in errors_by_seed(comparison, f"{mode} {budget:g}").items()
    ]
    rows += [(STANDARD, 1.0, seed, e) for seed, e in errors_by_seed(comparison, STANDARD).items()]
    return pl.DataFrame(rows, schema=["mode", "budget", "seed", "test_error"], orient="row")


def _figure(name: str, data: pl.DataFrame, settings: SweepSettings) -> Figure:
    means = data.group_by("mode", "budget").agg(
        pl.col("test_error").mean(), error=pl.col("test_error").std() / pl.len().sqrt()
    )
    domain = [STANDARD, UNIFORM, LINEAR, SENSE]
    x = alt.X("budget:Q", title="budget", scale=alt.Scale(zero=False, padding=12))
    y = alt.Y("test_error:Q", title="test error, %", scale=alt.Scale(zero=False))
    colour = alt.Color("mode:N", scale=alt.Scale(domain=domain))
    lines = alt.Chart(means.sort("mode", "budget"))
    ends = lines.transform_calculate(
        low="datum.test_error - datum.error", high="datum.test_error + datum.error"
    )
    chart = alt.LayerChart(
        layer=[
            lines.mark_line(point=True).encode(x=x, y=y, color=colour),
            ends.mark_rule().encode(
                x=x, y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q", color=colour
            ),
        ]
    )
    caption = (
        f"Test error by budget and mode, mean and standard error of {settings.seeds} seeds; "
        "standard: without stochastic depth."
    )
    return Figure(name, "Test error by budget", caption, caption, chart)
