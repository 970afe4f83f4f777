"""What is made of the trained cells."""

import polars as pl
import pytest

from stochastic_depth.papers.marion2022 import training


def test_a_cell_keeps_its_best_rate_and_forgets_diverged_runs():
    columns = ["data", "hurst", "beta", "rate", "seed", "accuracy"]
    rows = [
        ("a", 0.5, 0.1, 1e-3, 0, 40.0),
        ("a", 0.5, 0.1, 1e-3, 1, 60.0),
        ("a", 0.5, 0.1, 1e-2, 0, None),
        ("a", 0.5, 0.1, 1e-2, 1, 45.0),
        ("a", 0.9, 0.1, 1e-3, 0, None),
    ]
    best = training._best(pl.DataFrame(rows, schema=columns, orient="row"))
    assert best["accuracy"].to_list() == [50.0, None]


def test_regions_are_compared_by_their_distance_from_the_critical_exponent():
    grid = (0.1, 0.5, 0.9)
    accuracy = {0.1: 20.0, 0.5: 70.0, 0.9: 60.0}  # of beta, whatever H
    rows = [("a", h, b, accuracy[b] + h) for h in grid for b in grid]
    best = pl.DataFrame(rows, schema=["data", "hurst", "beta", "accuracy"], orient="row")
    measured = training._differences(best)
    # Near: (0.1, 0.5), (0.5, 0.5), (0.9, 0.9). Below: beta = 0.1 and (0.9, 0.5).
    near = (70.1 + 70.5 + 60.9) / 3
    below = (20.1 + 20.5 + 20.9 + 70.9) / 4
    assert measured[training._difference_to("below")].value == pytest.approx(near - below)
    assert measured[training._difference_to("above")].value == pytest.approx(near - 60.3)


def test_cells_on_the_edge_of_the_band_are_near():
    rows = [("a", h, b, 1.0) for h in (0.5, 0.7) for b in (0.1, 0.3, 0.5, 0.7, 0.9, 1.1)]
    best = pl.DataFrame(rows, schema=["data", "hurst", "beta", "accuracy"], orient="row")
    # At 0.5: 0.3, 0.5, 0.7; at 0.7: 0.5, 0.7, 0.9. Below are 1 and 2 cells, above 2 and 1.
    assert {m.n for m in training._differences(best).values()} == {9}
