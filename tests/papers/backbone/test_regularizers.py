import pytest

from stochastic_depth.experiments import Comparison
from stochastic_depth.papers import Context, load, reproduce
from stochastic_depth.papers.backbone import regularizers
from stochastic_depth.papers.backbone.regularizers import AGAINST_DROPOUT, OFF, SIDE_BY_SIDE
from stochastic_depth.training import load as load_recipe
from tests.experiments.records import write_run

VARIANTS = {"section6": AGAINST_DROPOUT, "regularizers": SIDE_BY_SIDE}


@pytest.mark.slow
def test_runs_at_the_smallest_size_and_claims_nothing_there(tmp_path):
    result = reproduce(load("backbone/section6"), "smoke", Context(directory=tmp_path))
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}
    assert set(result.outcome.data["variant"]) == set(AGAINST_DROPOUT)
    assert result.outcome.figure.svg().startswith("<svg")


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Return a function that replaces training by records, of which it returns the request."""
    asked = []

    def trained(experiment, context):
        asked.append((experiment, context))
        for variant in experiment.variants:
            last = 0.5 if "stochastic" in variant else 1.0
            for seed in range(2):
                write_run(
                    tmp_path / variant / f"seed-{seed}", variant=variant, seed=seed, last=last
                )
        return Comparison.read(tmp_path)

    monkeypatch.setattr(regularizers, "trained", trained)
    return asked


@pytest.mark.parametrize("name", VARIANTS)
def test_measures_every_claim_from_the_records(name, recorded):
    artefact = load(f"backbone/{name}")
    result = reproduce(artefact, "cpu", Context(data="some/folder"))
    ((experiment, context),) = recorded
    assert context.data is None
    assert experiment.fields["data.name"] == "some/folder"
    assert experiment.variants == VARIANTS[name]
    assert [claim["n"] for claim in result.claims] == [2] * len(artefact.claims)
    measured = {claim["name"]: claim["measured"] for claim in result.claims}
    for claim, value in measured.items():
        if claim.endswith("with dropout over that without"):
            assert value == pytest.approx(1.0, abs=0.05)
        if claim.endswith("with stochastic depth over that without"):
            assert value == pytest.approx(0.75, abs=0.1)


def test_every_regulariser_is_a_field_of_the_recipe_that_differs():
    seen = set()
    for fields in SIDE_BY_SIDE.values():
        config = load_recipe("backbone_resnet50", fields)
        values = (
            config.depth.enabled,
            config.model.init_args["dropout"],
            config.optimizer.init_args["weight_decay"],
            config.label_smoothing,
        )
        assert fields.keys() == OFF.keys()
        seen.add(values)
    assert len(seen) == len(SIDE_BY_SIDE) == 7
    assert (False, 0.0, 0.0, 0.0) in seen
