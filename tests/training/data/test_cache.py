import os

import numpy as np
import pytest
import torch

from stochastic_depth import DataError
from stochastic_depth.training.data import _cache
from stochastic_depth.training.data._cache import decoded
from stochastic_depth.training.data._parquet import read_parquet

from .conftest import random_images, write_parquet


def train(folder):
    return read_parquet(folder).splits["train"]


def test_images_are_decoded_once(parquet_folder, cache, monkeypatch):
    first = decoded(train(parquet_folder), None, None)
    monkeypatch.delattr(_cache, "decode")
    second = decoded(train(parquet_folder), None, None)
    assert torch.equal(first, second)
    assert torch.equal(first, torch.from_numpy(random_images(15)[:9]).permute(0, 3, 1, 2))
    assert [file.suffix for file in cache.iterdir()] == [".npy"]


def test_each_size_and_each_version_of_the_files_has_its_own_copy(parquet_folder, cache):
    for size in (None, 4):
        decoded(train(parquet_folder), size, None)
    write_parquet(parquet_folder / "train-1.parquet", random_images(4, seed=9), [0, 1, 2, 0])
    latest = decoded(train(parquet_folder), None, None)
    os.utime(parquet_folder / "train-0.parquet", ns=(0, 0))  # as large as before
    decoded(train(parquet_folder), None, None)
    assert len(list(cache.iterdir())) == 4
    assert torch.equal(latest[5:], torch.from_numpy(random_images(4, seed=9)).permute(0, 3, 1, 2))


def test_writing_to_the_images_does_not_change_the_file(parquet_folder):
    decoded(train(parquet_folder), None, None).zero_()
    assert decoded(train(parquet_folder), None, None).any()


def test_a_failure_leaves_no_file(parquet_folder, cache):
    images = [*random_images(3), b"not an image"]
    write_parquet(parquet_folder / "train-1.parquet", images, [0, 1, 2, 0])
    with pytest.raises(DataError, match=r"train-1\.parquet, row 3 must be an image"):
        decoded(train(parquet_folder), None, None)
    assert list(cache.iterdir()) == []


def test_the_folder_can_be_chosen(parquet_folder, cache, tmp_path):
    decoded(train(parquet_folder), None, str(tmp_path / "mine"))
    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert not cache.exists()


def test_a_damaged_copy_and_an_unusable_folder_are_named(parquet_folder, cache, tmp_path):
    decoded(train(parquet_folder), None, None)
    (copy,) = cache.iterdir()
    os.truncate(copy, 300)
    with pytest.raises(DataError, match=rf"{copy.name} must be readable .* or delete the file"):
        decoded(train(parquet_folder), None, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/.*Pass another data\.cache_dir"):
        decoded(train(parquet_folder), None, str(tmp_path / "file"))


def test_the_copy_is_an_ordinary_array(parquet_folder, cache):
    decoded(train(parquet_folder), None, None)
    (copy,) = cache.iterdir()
    assert np.array_equal(np.load(copy), random_images(15)[:9])
