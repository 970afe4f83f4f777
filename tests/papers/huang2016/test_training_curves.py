from types import SimpleNamespace

import polars as pl
import pytest

from stochastic_depth.papers.huang2016.training_curves import (
    HIGHER_TRAINING,
    LOWER,
    OVERHEAD,
    _after_drop,
    _larger,
    _ratio,
    claims,
    fluctuation,
    measurements,
)
from tests.experiments.records import comparison


def with_errors(errors, rates):
    return SimpleNamespace(metrics=pl.DataFrame({"test_error": errors, "lr": rates}))


def test_a_steady_descent_does_not_fluctuate():
    assert fluctuation(with_errors([9.0, 7.0, 5.0, 3.0], [0.1] * 4)) == 0


def test_fluctuation_is_that_of_the_first_rate_and_of_evaluated_epochs():
    """Second differences of 8, 6, 7, 4 are 3 and -4."""
    errors = [8.0, None, 6.0, None, 7.0, 4.0, 50.0]
    rates = [0.1] * 6 + [0.01]
    assert fluctuation(with_errors(errors, rates)) == pytest.approx((25 / 2) ** 0.5)
    assert fluctuation(with_errors([8.0, 6.0, 7.0], [0.1, 0.1, 0.01])) is None


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


RATES = [0.1, 0.1, 0.1, 0.01]


def with_gradients(gradients, rates=RATES):
    epochs = list(range(1, len(gradients) + 1))
    columns = {"epoch": epochs, "lr": rates, "gradient_first_convolution": gradients}
    return SimpleNamespace(metrics=pl.DataFrame(columns))


BASE = with_gradients([1.0, 2.0, 4.0, 1.0])


def test_ratios_are_of_stochastic_over_constant():
    other = with_gradients([2.0, 2.0 / 4, 16.0, 8.0])  # ratios 2, 1/4, 4, 8
    assert _ratio(BASE, other) == pytest.approx((2 * 0.25 * 4 * 8) ** 0.25)
    assert _larger(BASE, other) == 0.75
    assert _after_drop(BASE, other) == pytest.approx(8 / (2 * 0.25 * 4) ** (1 / 3))


def test_without_a_drop_there_is_nothing_after_it():
    assert (
        _after_drop(with_gradients([1.0] * 4, [0.1] * 4), with_gradients([2.0] * 4, [0.1] * 4))
        is None
    )


def test_an_epoch_whose_first_block_was_always_dropped_is_left_out():
    assert _ratio(BASE, with_gradients([3.0, None, 12.0, 3.0])) == pytest.approx(3.0)
