from types import SimpleNamespace

import polars as pl
import pytest

from stochastic_depth.papers.huang2016._measures import (
    HIGHER_TRAINING,
    LOWER,
    OVERHEAD,
    claims,
    fluctuation,
    measurements,
)
from tests.experiments.records import comparison


def run(errors, rates):
    return SimpleNamespace(metrics=pl.DataFrame({"test_error": errors, "lr": rates}))


def test_a_steady_descent_does_not_fluctuate():
    assert fluctuation(run([9.0, 7.0, 5.0, 3.0], [0.1] * 4)) == 0


def test_fluctuation_is_that_of_the_first_rate_and_of_evaluated_epochs():
    """Second differences of 8, 6, 7, 4 are 3 and -4."""
    errors = [8.0, None, 6.0, None, 7.0, 4.0, 50.0]
    rates = [0.1] * 6 + [0.01]
    assert fluctuation(run(errors, rates)) == pytest.approx((25 / 2) ** 0.5)
    assert fluctuation(run([8.0, 6.0, 7.0], [0.1, 0.1, 0.01])) is None


def test_measurements_against_the_rows_of_the_runs(tmp_path):
    runs = comparison(tmp_path)
    found = measurements(runs)
    base, other = runs.finished("constant"), runs.finished("stochastic")

    def average(number):
        return sum(number(base[seed], other[seed]) for seed in (0, 1, 2)) / 3

    def gap(column):
        return average(lambda a, b: a.metrics[column][-1] - b.metrics[column][-1])

    assert found[LOWER].value == pytest.approx(gap("test_error"))
    assert found[HIGHER_TRAINING].value == pytest.approx(-gap("train_error"))
    assert found[HIGHER_TRAINING].value > 0

    def fastest(run):
        return min(row["seconds"] / row["realised_cost"] for row in run.metrics.to_dicts())

    def overhead(a, b):
        return fastest(b) / fastest(a)

    assert found[OVERHEAD].value == pytest.approx(average(overhead))


def test_every_measurement_has_its_claim(tmp_path):
    assert set(measurements(comparison(tmp_path))) <= {claim.name for claim in claims("figure")}
