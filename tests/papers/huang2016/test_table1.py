from stochastic_depth.papers import Context
from stochastic_depth.papers.huang2016 import table1
from stochastic_depth.papers.huang2016.training_curves import CIFAR10
from stochastic_depth.training import load
from tests.experiments.records import comparison


def test_columns_are_where_their_images_are(tmp_path):
    (tmp_path / "cifar10").mkdir()
    context = Context(data=tmp_path)
    assert table1._within(context, "CIFAR-10+").data == tmp_path / "cifar10"
    assert table1._within(context, "CIFAR-10").data == tmp_path / "cifar10"
    assert table1._within(context, "SVHN") is None
    assert table1._within(Context(), "SVHN") == Context()  # downloaded


def test_a_column_that_is_missing_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(table1, "trained", lambda experiment, context: comparison(tmp_path / "c"))
    data = tmp_path / "data"
    (data / "cifar10").mkdir(parents=True)
    one = table1.Settings({"CIFAR-10+": CIFAR10["cpu"], "SVHN": None})
    outcome = table1.run(one, Context(data=data))
    assert list(outcome.measurements) == [table1._gap("CIFAR-10+")]
    assert outcome.notes[0] == "SVHN was left out: no svhn."
    assert set(outcome.data["printed"]) == {6.41, 5.25}


def test_networks_of_the_figures_are_those_of_the_table():
    columns = table1.table1.settings("paper").columns
    assert columns["CIFAR-10+"] == CIFAR10["paper"]
    plain = load("huang2016_cifar10", columns["CIFAR-10"].fields)
    assert (plain.data.flip, plain.data.shift, plain.epochs) == (False, 0, 500)
