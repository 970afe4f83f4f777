from types import SimpleNamespace

import polars as pl
import pytest

from stochastic_depth.papers.huang2016.figure7 import _after_drop, _larger, _ratio

RATES = [0.1, 0.1, 0.1, 0.01]


def run(gradients, rates=RATES):
    epochs = list(range(1, len(gradients) + 1))
    columns = {"epoch": epochs, "lr": rates, "gradient_first_convolution": gradients}
    return SimpleNamespace(metrics=pl.DataFrame(columns))


BASE = run([1.0, 2.0, 4.0, 1.0])


def test_ratios_are_of_stochastic_over_constant():
    other = run([2.0, 2.0 / 4, 16.0, 8.0])  # ratios 2, 1/4, 4, 8
    assert _ratio(BASE, other) == pytest.approx((2 * 0.25 * 4 * 8) ** 0.25)
    assert _larger(BASE, other) == 0.75
    assert _after_drop(BASE, other) == pytest.approx(8 / (2 * 0.25 * 4) ** (1 / 3))


def test_without_a_drop_there_is_nothing_after_it():
    assert _after_drop(run([1.0] * 4, [0.1] * 4), run([2.0] * 4, [0.1] * 4)) is None


def test_an_epoch_whose_first_block_was_always_dropped_is_left_out():
    assert _ratio(BASE, run([3.0, None, 12.0, 3.0])) == pytest.approx(3.0)
