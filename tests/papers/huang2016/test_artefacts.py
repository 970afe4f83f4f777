import pytest

from stochastic_depth.papers import Context, load, reproduce, titles

NAMES = [name for name in titles() if name.startswith("huang2016/")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return one directory for all, so that networks that several share train once."""
    return tmp_path_factory.mktemp("runs")


def test_all_are_here():
    assert len(NAMES) == 12


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("name", NAMES)
def test_runs_at_the_smallest_size_and_claims_nothing_there(name, runs):
    result = reproduce(load(name), "smoke", Context(directory=runs))
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}
    assert not result.outcome.data.is_empty()
    assert result.outcome.figure.svg().startswith("<svg")
