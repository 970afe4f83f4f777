import csv

from stochastic_depth.training.record import COLUMNS, Evaluation, History, Score

SPECIFIED = (
    "epoch,step,lr,train_loss,train_error,validation_loss,validation_error,test_loss,test_error,"
    "seconds,expected_depth,realised_depth,expected_cost,realised_cost,gradient_first_convolution"
)


def row(**values: float | None) -> dict[str, float | None]:
    return dict.fromkeys(COLUMNS) | {"epoch": 1, "step": 7} | values


def test_columns():
    assert ",".join(COLUMNS) == SPECIFIED


def test_the_best_evaluation_is_the_first_with_the_lowest_validation_error():
    history = History()
    for step, error in enumerate((40.0, 30.0, 30.0, 35.0)):
        history.evaluations.append(Evaluation.of(step, step, Score(1.0, error), Score(1.0, 50.0)))
    assert history.best is history.evaluations[1]


def test_nothing_is_best_without_validation_images():
    history = History(evaluations=[Evaluation.of(1, 7, None, Score(1.0, 20.0))])
    assert history.best is None
    assert history.evaluations[0].test_error == 20.0


def test_what_was_not_measured_is_an_empty_cell(tmp_path):
    History(rows=[row(lr=0.1)]).write(tmp_path)
    (read,) = csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines())
    assert (read["lr"], read["test_error"]) == ("0.1", "")
    assert not (tmp_path / "evaluations.csv").exists()


def test_evaluations_within_an_epoch_have_a_table_of_their_own(tmp_path):
    evaluations = [Evaluation.of(1, step, None, Score(1.0, 20.0 + step)) for step in (3, 6, 7)]
    History(rows=[row()], evaluations=evaluations).write(tmp_path)
    read = list(csv.DictReader((tmp_path / "evaluations.csv").read_text().splitlines()))
    assert [(item["step"], item["test_error"]) for item in read] == [
        ("3", "23.0"),
        ("6", "26.0"),
        ("7", "27.0"),
    ]


def test_state():
    evaluations = [Evaluation.of(1, 7, Score(1.0, 2.0), None)]
    history, copy = History([row(lr=0.3)], evaluations), History()
    copy.load_state_dict(history.state_dict())
    assert copy == history
    assert copy.last_step == 7
    assert copy.during(1) == evaluations[0]
    assert copy.during(2).test_error is None


def test_an_epoch_shows_its_last_evaluation():
    places = ((1, 3), (1, 6), (2, 9))
    history = History(evaluations=[Evaluation(epoch, step) for epoch, step in places])
    assert [history.during(epoch).step for epoch in (1, 2)] == [6, 9]
