"""The law of the depth of a step, against enumeration of all gate vectors."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from stochastic_depth.experiments import RunRecord
from stochastic_depth.reports._depth_law import exact_depth_law
from tests.experiments.records import write_run

DEPTH = {"enabled": True, "schedule": "linear", "last": 0.3}


def test_independent_gates_follow_the_poisson_binomial_law(tmp_path: Path) -> None:
    run = RunRecord.read(write_run(tmp_path / "run", last=0.3, num_blocks=6))
    law = np.zeros(7)
    for gates in itertools.product([0, 1], repeat=6):
        law[sum(gates)] += np.prod(np.where(gates, run.survival, 1 - run.survival))
    assert exact_depth_law(run) == pytest.approx(law, abs=1e-12)


def test_a_fixed_depth_has_two_values(tmp_path: Path) -> None:
    config = {"depth": DEPTH | {"law": "fixed-depth"}}
    run = RunRecord.read(write_run(tmp_path / "run", last=0.3, num_blocks=6, config=config))
    law = exact_depth_law(run)
    assert np.count_nonzero(law) == 2
    assert law.sum() == pytest.approx(1)
    assert law @ np.arange(7) == pytest.approx(run.survival.sum())


@pytest.mark.parametrize("changes", [{"per": "sample"}, {"curriculum": "warmup", "until": 0.2}])
def test_no_law_of_one_step(tmp_path: Path, changes: dict) -> None:
    run = RunRecord.read(write_run(tmp_path / "run", config={"depth": DEPTH | changes}))
    assert exact_depth_law(run) is None
