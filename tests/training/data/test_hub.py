import datasets
import pytest

from stochastic_depth import DataError
from stochastic_depth.training.data import DataConfig, _hub, load


@pytest.fixture
def hub(parquet_folder, monkeypatch, tmp_path):
    """A local folder in the place of a repository of the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "hf")
    monkeypatch.setitem(_hub.HUB, "cifar10", (str(parquet_folder), None))
    datasets.disable_progress_bars()
    return parquet_folder


def test_a_named_data_set_is_the_same_from_the_hub_and_from_a_folder(hub):
    from_hub, from_folder = (
        load(DataConfig("cifar10")),
        load(DataConfig("cifar10", data_dir=str(hub))),
    )
    for ours, theirs in ((from_hub.train, from_folder.train), (from_hub.test, from_folder.test)):
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.images.equal(theirs.images)
    assert len(from_hub.train) == 9


def test_an_unreachable_data_set_says_how_to_give_a_path(monkeypatch):
    def unreachable(*_):
        raise ConnectionError("Couldn't reach 'zalando-datasets/fashion_mnist' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    message = (
        r"fashion_mnist cannot be loaded \(Couldn't reach .*data\.data_dir for a named data set"
    )
    with pytest.raises(DataError, match=message):
        load(DataConfig("fashion-mnist"))


def test_splits_and_columns_that_are_missing_are_listed(hub, monkeypatch):
    table = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_: datasets.DatasetDict(unsupervised=table)
    )
    with pytest.raises(DataError, match="owner/name must have a split train; it has unsupervised"):
        load(DataConfig("owner/name"))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(train=table))
    with pytest.raises(DataError, match="owner/name, train must have a column named image or img"):
        load(DataConfig("owner/name"))
