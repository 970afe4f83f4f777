"""Which blocks ran: the pictures of two passes and of all steps show the recorded gates."""

from pathlib import Path

import numpy as np
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import figures
from stochastic_depth.reports._passes import drawn_steps, raster_chart, two_steps
from tests.experiments.records import write_run
from tests.reports.drawings import figure, rows


def test_boxes_are_the_gates_of_two_steps(tmp_path: Path) -> None:
    runs = Comparison.read(write_run(tmp_path / "run", num_blocks=16, last=0.8))
    (figure,) = [figure for figure in figures(runs) if figure.name == "passes-stochastic"]
    (boxes,) = [
        table
        for table in figure.specification()["datasets"].values()
        if table and "what" in table[0]
    ]
    gates = runs.runs[0].gates
    assert gates is not None
    steps = sorted({box["step"] for box in boxes})
    assert len(steps) == 2
    assert len(boxes) == 32
    for box in boxes:
        assert box["ran"] == bool(gates[box["step"], box["block"] - 1])
    for step in steps:
        skipped = np.flatnonzero(gates[step] == 0)
        assert len(skipped) > 0
        assert f"step {step} skips block" in figure.description
        assert str(skipped[0] + 1) in figure.description
        assert f"step {step}: {16 - len(skipped)} of 16" in figure.svg()
    skipped_boxes = 32 - sum(box["ran"] for box in boxes)
    for drawing in (figure.svg(), figure.still()):
        assert drawing.count("×") == skipped_boxes
        assert drawing.count('fill-opacity="0.03"') == skipped_boxes


def test_two_steps_differ_and_skip() -> None:
    gates = np.ones((50, 4), np.uint8)
    gates[[7, 20, 33], [1, 1, 2]] = 0
    for seed in range(8):
        first, second = two_steps(gates, seed)
        assert {first, second} in ({7, 33}, {20, 33})
    assert {two_steps(gates, seed)[0] for seed in range(8)} == {7, 20}
    assert two_steps(gates[:10], seed=0) == [7]
    assert two_steps(gates[:5], seed=0) == []


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_samples_that_differ_in_their_blocks_have_no_such_picture(
    share: float, tmp_path: Path
) -> None:
    directory = write_run(tmp_path / "run")
    gates = np.load(directory / "gates.npy").astype(np.float16)
    gates[gates == 0] = share
    gates[0, 0] = 0.5
    np.save(directory / "gates.npy", gates)
    names = {figure.name for figure in figures(Comparison.read(directory))}
    assert "passes-stochastic" not in names
    assert "gates-stochastic" in names


def test_raster_shows_the_recorded_gates(runs: Comparison) -> None:
    run = runs.finished("stochastic")[0]
    stretches = rows(figure(runs, "gates-stochastic").specification(), "step", "first", "last")
    drawn = np.zeros_like(run.gates)
    for stretch in stretches:
        drawn[
            stretch["step"], round(stretch["first"] - 0.55) : round(stretch["last"] + 0.55) - 1
        ] = 1
    steps = sorted({stretch["step"] for stretch in stretches})
    assert len(steps) == 120
    assert np.array_equal(drawn[steps], run.gates[steps])


def test_raster_of_a_draw_per_sample_is_as_dark_as_the_share(runs: Comparison) -> None:
    shares = np.array([[0.25, 0.25, 0.0], [1.0, 0.5, 0.5]])
    drawn = raster_chart(runs, "stochastic", shares).data
    assert drawn["share"].to_list() == [0.25, 1.0, 0.5]
    assert drawn["depth"].to_list() == [0.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("steps", "blocks", "drawn"),
    [(1, 9, 1), (7, 9, 7), (120, 54, 120), (176_000, 54, 120), (900, 100, 80), (900, 600, 30)],
)
def test_raster_stays_light(steps: int, blocks: int, drawn: int) -> None:
    found = drawn_steps(steps, blocks)
    assert len(found) == drawn
    assert found[0] == 0
    assert found[-1] == steps - 1
