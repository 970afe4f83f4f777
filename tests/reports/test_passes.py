"""The picture of two forward passes: it shows the recorded gates of two steps."""

from pathlib import Path

import numpy as np
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import figures
from stochastic_depth.reports._depth_figures import two_steps
from tests.experiments.records import write_run


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
