"""A recipe that is wrong is explained like an option that is."""

from pathlib import Path

import pytest

from stochastic_depth import InvalidArgument
from stochastic_depth.training import load
from stochastic_depth.training._recipes import RECIPES


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("\nepochs:", "\nepoch:", r"epoch is not a field\. Did you mean 'epochs'\?$"),
        ("\nepochs: 80", "\nepochs: many", r"epochs must be a whole number; got 'many'\.$"),
        (
            "schedule: linear",
            "schedule: lineer",
            r"depth\.schedule must be one of .*; got 'lineer'\. Did you mean 'linear'\?$",
        ),
    ],
)
def test_a_wrong_recipe(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    text = (RECIPES / "demo_digits.yaml").read_text()
    assert right in text
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text.replace(right, wrong))
    with pytest.raises(InvalidArgument, match=said):
        load(recipe)
