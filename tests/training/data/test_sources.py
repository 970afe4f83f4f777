import pytest

from stochastic_depth import DataError
from stochastic_depth.training.data import DataConfig
from stochastic_depth.training.data._sources import read

from .conftest import random_images, write_parquet


def test_a_missing_or_foreign_folder_says_what_is_there(tmp_path):
    with pytest.raises(DataError, match="must be a folder with images; there is none"):
        read(DataConfig(str(tmp_path / "missing")))
    with pytest.raises(DataError, match=r"or a folder train/<class>/; it holds nothing\."):
        read(DataConfig(str(tmp_path)))
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"it holds images\."):
        read(DataConfig(str(tmp_path)))


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_split_is_named(parquet_folder, missing):
    for file in parquet_folder.glob(f"{missing}*"):
        file.unlink()
    other = {"train": "test", "test": "train"}[missing]
    with pytest.raises(DataError, match=f"must have a non-empty split {missing}; it has {other}"):
        read(DataConfig(str(parquet_folder)))


def test_an_empty_split_is_missing(parquet_folder):
    write_parquet(parquet_folder / "test-0.parquet", random_images(1)[:0], [])
    with pytest.raises(DataError, match="must have a non-empty split test; it has test, train"):
        read(DataConfig(str(parquet_folder)))


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_label_out_of_range_is_named_with_its_row(parquet_folder, label):
    write_parquet(parquet_folder / "test-0.parquet", random_images(2), [0, label])
    message = rf"Labels must be 0 to 2; .*test-0\.parquet, row 1 \(test\) has {label}"
    with pytest.raises(DataError, match=message):
        read(DataConfig(str(parquet_folder)))


def test_labels_without_names_must_have_no_gap(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", random_images(2), [0, 2])
    with pytest.raises(DataError, match=r"0 to 2 without a gap; .* no training image of class 1"):
        read(DataConfig(str(tmp_path)))


def test_classes_without_names_are_called_by_number(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", random_images(2), [1, 0])
    assert read(DataConfig(str(tmp_path))).class_names == ("0", "1")
