"""Grids: what they say, what they cover, and what is refused."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.experiments import parse_grid
from stochastic_depth.experiments._grid import axes, cell_name, cells, overrides

FIELDS = ["seed", "epochs", "depth.schedule", "depth.budget", "depth.last", "data.name", "name"]
FIELDS += ["learning_rate.factor", "other.factor"]


def test_a_range_includes_both_ends() -> None:
    grid = parse_grid(["budget=0.1:1.0:0.1", "seed=0:4", "epochs=10:20:5", "x=1,2:3,0.5"])
    assert grid["budget"] == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert grid["seed"] == (0, 1, 2, 3, 4)
    assert all(type(seed) is int for seed in grid["seed"])
    assert grid["epochs"] == (10, 15, 20)
    assert grid["x"] == (1, 2, 3, 0.5)


@given(first=st.integers(-50, 50), steps=st.integers(0, 40), step=st.integers(1, 30))
def test_ranges_are_what_numpy_says_they_are(first: int, steps: int, step: int) -> None:
    last = first + steps * step
    text = f"{first / 100}:{last / 100}:{step / 100}"
    values = parse_grid([f"x={text}"])["x"]
    assert values == pytest.approx(np.linspace(first, last, steps + 1) / 100)


def test_values_are_read_as_yaml() -> None:
    grid = parse_grid(["enabled=true,false", "last=null,0.5", "p=[0.5,1],[1,1]", "rule=huang"])
    assert grid["enabled"] == (True, False)
    assert grid["last"] == (None, 0.5)
    assert grid["p"] == ([0.5, 1], [1, 1])
    assert grid["rule"] == ("huang",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["budget"], r"--grid must be FIELD=VALUE,VALUE .*; got 'budget'"),
        (["budget="], r"--grid must be FIELD=VALUE,VALUE .*; got 'budget='"),
        (["seed=0:2", "seed=3"], "one axis per field; got seed twice"),
        (["budget=1.0:0.1:0.1"], r"grid axis budget must be .*growing; got 1\.0:0\.1:0\.1"),
        (["budget=0.1:1.0:0"], "growing"),
        (["budget=0.1:1.0:-0.1"], "growing"),
    ],
)
def test_what_no_grid_is_written_as(words: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse_grid(words)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "grid must be at least one axis; got none. Write --grid"),
        ({"epochs": ()}, "grid axis epochs must be at least one value"),
        ({"epochs": (1, 2, 1)}, "distinct"),
        ({"bugdet": (0.5,)}, "Did you mean 'budget'"),
        ({"depth.bugdet": (0.5,)}, "Did you mean 'depth.budget'"),
        ({"factor": (0.5,)}, r"unambiguous field; got 'factor'\. Say learning_rate\.factor or"),
        ({"budget": (0.5,), "depth.budget": (0.6,)}, "depth.budget twice"),
    ],
)
def test_grids_that_are_refused(grid: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        axes(grid, FIELDS)


def test_fields_are_found_by_their_last_part() -> None:
    grid = {"schedule": ("a",), "name": ("b",), "seed": (0,), "model.init_args.width": (4,)}
    named = axes(grid, FIELDS)
    assert list(named) == ["depth.schedule", "name", "seed", "model.init_args.width"]


def test_cells_are_all_combinations_without_seeds() -> None:
    found = list(cells({"depth.schedule": ("a", "b"), "seed": (0, 1), "epochs": (1, 2, 3)}))
    assert len(found) == 6
    assert found[1] == {"depth.schedule": "a", "epochs": 2}
    assert len({cell_name(cell) for cell in found}) == 6
    assert cell_name(found[1]) == "schedule=a epochs=2"
    assert list(cells({"seed": (0, 1)})) == [{}]


def test_an_axis_over_the_budget_takes_the_place_of_the_level() -> None:
    assert overrides({"depth.budget": 0.5}) == {
        "depth.last": None,
        "depth.probabilities": None,
        "depth.budget": 0.5,
    }
    assert overrides({"epochs": 3}) == {"epochs": 3}


@given(st.lists(st.text("abcxyz", min_size=1), min_size=1, unique=True))
def test_words_come_back(words: list[str]) -> None:
    assert parse_grid([f"x={','.join(words)}"])["x"] == tuple(map(yaml.safe_load, words))
