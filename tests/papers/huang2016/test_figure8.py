import polars as pl
import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.papers._experiment import errors_of
from stochastic_depth.papers.huang2016 import figure8
from tests.experiments.records import write_run

COLUMNS = ["depth", "last", "seed", "test_error"]


def test_linear_is_measured_against_uniform_and_against_constant_depth(tmp_path):
    """Higher survival makes a higher error in these records; the seed adds noise."""
    for seed in (0, 1):
        for variant, last in (("constant", 1.0), ("linear 0.5", 0.5), ("uniform 0.5", 0.7)):
            directory = tmp_path / variant / f"seed-{seed}"
            write_run(directory, variant=variant, seed=seed, last=last)
    comparison = Comparison.read(tmp_path)
    found = figure8._measurements(comparison)
    errors = {variant: errors_of(comparison, variant) for variant in comparison.variants}
    for reference, name in (("uniform 0.5", "uniform"), ("constant", "constant depth")):
        (measured,) = (m for claim, m in found.items() if f"error of {name}" in claim)
        gaps = [errors[reference][seed] - errors["linear 0.5"][seed] for seed in (0, 1)]
        assert measured.value == pytest.approx(sum(gaps) / 2)
    assert len(found) == 2


def test_variants_name_what_they_override():
    variants = figure8.schedules(0.2, 0.8)
    assert list(variants) == ["constant", "linear 0.2", "uniform 0.2", "linear 0.8", "uniform 0.8"]
    assert variants["uniform 0.2"] == {"depth.schedule": "uniform", "depth.last": 0.2}


def test_the_valley_is_the_fall_of_the_best_survival_from_shallow_to_deep():
    rows = [
        *((20, 0.2, 0, 9.0), (20, 0.8, 0, 8.0), (44, 0.2, 0, 1.0), (44, 0.8, 0, 2.0)),
        *((56, 0.2, 0, 7.0), (56, 0.8, 0, 7.5)),
        *((20, 0.2, 1, 8.0), (20, 0.8, 1, 9.0), (56, 0.2, 1, 7.0), (56, 0.8, 1, 6.0)),
    ]
    cells = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    assert figure8._valley(cells) == pytest.approx([0.6, -0.6])
