"""Recipes and options that nobody should give, many of them, in one process.

`make fuzz` tries thousands, see benchmarks/hostile.py.
"""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stochastic_depth.cli import main
from stochastic_depth.training._recipes import RECIPES

RECIPE = yaml.safe_load((RECIPES / "demo_digits.yaml").read_text())
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**32, 2**63, 10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["os.system", "torch.hub.load", "torch.nn.Linear", "null", "1e400", "[/b]"])
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SECTIONS = ("data", "depth", "learning_rate", "model", "optimizer")
# Every choice is one that no recipe may hold, whatever else stands in it.
NONSENSE = {
    "epochs": values.filter(lambda value: not is_count(value)),
    "threads": values.filter(lambda value: value is not None and not is_count(value)),
    "seed": values.filter(lambda value: not is_count(value) and not is_zero(value)),
    "precision": values.filter(lambda value: value not in ("float32", "bf16", "float64")),
    **dict.fromkeys(SECTIONS, plain | st.lists(plain, max_size=2)),
}


def is_zero(value):
    return str(value).strip() in ("0", "-0", "00") and not isinstance(value, bool)


def is_count(value):
    try:
        return not isinstance(value, (bool, float)) and 0 < int(value) < 2**32
    except (TypeError, ValueError):
        return False


def said_of(arguments, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("sdepth: ")
    assert said.count("\n") == 1
    for prose in ("Expected a", "Got value", "Given value", "Parser key", "<class"):
        assert prose not in said
    return said


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), field=st.sampled_from(sorted(NONSENSE)))
def test_a_field_of_nonsense_is_refused_by_its_name(data, field, tmp_path, capsys):
    value = data.draw(NONSENSE[field])
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, field: value}), encoding="utf-8")
    assert field in said_of(["validate", str(path)], capsys)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_a_recipe_of_any_bytes_is_refused_with_its_path(content, tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    said = said_of(["validate", str(path)], capsys)
    # A mapping without fields is a recipe that lacks one.
    assert str(path) in said or "model must be given" in said


@pytest.mark.parametrize("field", ["momentum", "weight_decay", "lr"])
def test_a_number_of_400_digits(field, capsys):
    said = said_of(
        ["validate", "demo_digits", f"--optimizer.init_args.{field}=" + "9" * 400], capsys
    )
    assert field in said
    assert len(said) < 500


@pytest.mark.parametrize("word", ["--seed=4294967296", "--threads=100000000000", "--epochs=true"])
def test_numbers_on_the_command_line(word, capsys):
    assert word[2:].partition("=")[0] in said_of(["validate", "demo_digits", word], capsys)


def test_not_a_number_is_no_argument_of_an_optimizer(capsys):
    word = "--optimizer.init_args.momentum=.nan"
    assert "momentum of torch.optim.SGD must be a number; got NaN" in said_of(
        ["validate", "demo_digits", word], capsys
    )
