"""Data sets of the hub, and folders of parquet files."""

import os

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stochastic_depth import DataError
from stochastic_depth.training.data import DataConfig, _tabular, load
from stochastic_depth.training.data._tabular import read_parquet

from .conftest import png, random_images, write_parquet


@pytest.fixture
def hub(parquet_folder, monkeypatch, tmp_path):
    """A local folder in the place of a repository of the hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "hf")
    monkeypatch.setitem(_tabular.HUB, "cifar10", (str(parquet_folder), None))
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


def pixels(records):
    return np.stack([np.asarray(image) for image in records.images()])


def test_shards_are_joined_in_the_order_of_their_names(parquet_folder):
    source = read_parquet(parquet_folder)
    assert set(source.splits) == {"train", "test"}
    assert source.class_names == ("ant", "bee", "cat")
    assert np.array_equal(pixels(source.splits["train"]), random_images(15)[:9])
    assert source.splits["test"].labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_an_error_can_name_file_and_row(parquet_folder):
    where = read_parquet(parquet_folder).splits["train"].where
    assert where(4).endswith("train-0.parquet, row 4")
    assert where(5).endswith("train-1.parquet, row 0")


def test_images_may_be_plain_bytes_and_splits_folders(tmp_path):
    table = pa.table({"img": [png(image) for image in random_images(2)], "fine_label": [1, 0]})
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        pq.write_table(table, tmp_path / split / "0000.parquet")
    source = read_parquet(tmp_path)
    assert set(source.splits) == {"train", "validation"}
    assert source.class_names == ()
    assert np.array_equal(pixels(source.splits["train"]), random_images(2))


@pytest.mark.parametrize("keep", [0, 100, -20])
def test_a_truncated_file_is_named(parquet_folder, keep):
    file = parquet_folder / "train-1.parquet"
    os.truncate(file, keep if keep >= 0 else file.stat().st_size + keep)
    with pytest.raises(DataError, match=r"train-1\.parquet must be a parquet file; it is corrupt"):
        read_parquet(parquet_folder)


def test_damage_within_the_images_is_found_when_they_are_read(tmp_path):
    file = tmp_path / "train.parquet"
    write_parquet(file, random_images(50), [0] * 50)
    damaged = bytearray(file.read_bytes())
    damaged[4:60] = bytes(56)  # the header of the first page
    file.write_bytes(damaged)
    records = read_parquet(tmp_path).splits["train"]
    with pytest.raises(DataError, match=r"train\.parquet"):
        pixels(records)


def test_missing_columns_are_listed(tmp_path):
    write_parquet(tmp_path / "train.parquet", random_images(1), [0], columns=("picture", "label"))
    with pytest.raises(DataError, match="column named image or img; it has picture, label"):
        read_parquet(tmp_path)


@pytest.mark.parametrize(
    ("labels", "given"),
    [
        ([0.5, 1.0], "float64 such as 0.5"),
        (["cat", "dog"], "object such as 'cat'"),
        ([1, None], "float64 such as 1.0"),
    ],
)
def test_labels_must_be_integers(tmp_path, labels, given):
    write_parquet(tmp_path / "train.parquet", random_images(2), labels)
    with pytest.raises(DataError, match=f"must be integers, none missing; got {given}"):
        read_parquet(tmp_path)


def test_a_cell_without_bytes_is_named(tmp_path):
    table = pa.table({"image": [{"bytes": None, "path": "a.png"}], "label": [0]})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet, row 0 must hold the bytes of an image"):
        pixels(read_parquet(tmp_path).splits["train"])


def test_a_file_must_say_its_split(parquet_folder):
    (parquet_folder / "test-0.parquet").rename(parquet_folder / "part-0.parquet")
    with pytest.raises(DataError, match=r"part-0\.parquet must say which split it holds"):
        read_parquet(parquet_folder)
