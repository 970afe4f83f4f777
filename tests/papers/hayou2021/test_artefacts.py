import pytest

from stochastic_depth.papers import Context, load, reproduce, titles

NAMES = [name for name in titles() if name.startswith("hayou2021/")]


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize("name", NAMES)
def test_runs_at_the_smallest_size_and_claims_nothing_there(name):
    result = reproduce(load(name), "smoke")
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}
    assert not result.outcome.data.is_empty()
    assert result.outcome.figure.svg().startswith("<svg")


@pytest.mark.parametrize("name", ["figure1a", "figure2c", "theorem1", "normality"])
def test_the_seed_makes_the_numbers(name):
    artefact = load(f"hayou2021/{name}")
    first, again = (reproduce(artefact, "smoke").outcome for _ in range(2))
    assert first.data.equals(again.data)
    other = reproduce(artefact, "smoke", Context(seed=1)).outcome
    assert not first.data.equals(other.data)
