"""Every artefact of the paper at its smallest size."""

import pytest

from stochastic_depth import papers

NAMES = sorted(name for name in papers.titles() if name.startswith("marion2022/"))


def test_they_are_all_here():
    figures = {f"marion2022/figure{number}" for number in range(1, 8)}
    extra = {f"marion2022/{name}" for name in ("convergence", "critical_exponent")}
    assert figures | extra | {"marion2022/stochastic_depth"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_can_be_written(name, tmp_path):
    result = papers.reproduce(papers.load(name), "smoke")
    result.write(tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    data = result.outcome.data
    assert len(data) > 0
    assert not any(
        data[column].is_nan().any() for column in data.columns if data[column].dtype.is_float()
    )
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}


@pytest.mark.parametrize("name", ["marion2022/figure6", "marion2022/critical_exponent"])
def test_the_seed_decides(name):
    artefact = papers.load(name)
    first, again = (papers.reproduce(artefact, "smoke").outcome.data for _ in range(2))
    other = papers.reproduce(artefact, "smoke", papers.Context(seed=1)).outcome.data
    assert first.equals(again)
    assert not first.equals(other)
