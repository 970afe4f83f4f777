"""The real images, where `STOCHASTIC_DEPTH_DATA` names a folder that holds them.

The folder has sub-folders `cifar10`, `cifar100` and `imagenette-224` of parquet files.
"""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from stochastic_depth.training.data import DataConfig, load

ROOT = os.environ.get("STOCHASTIC_DEPTH_DATA", "")
pytestmark = pytest.mark.skipif(not ROOT, reason="STOCHASTIC_DEPTH_DATA is not set")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Load a data set by its folder; all tests of this file decode it once."""
    cache_dir = str(tmp_path_factory.mktemp("decoded"))

    def load_real(name, **fields):
        return load(DataConfig(str(Path(ROOT, name)), cache_dir=cache_dir, **fields))

    return load_real


@pytest.mark.parametrize(
    ("name", "train", "test", "size", "classes"),
    [
        ("cifar10", 50_000, 10_000, 32, 10),
        ("cifar100", 10_000, 10_000, 32, 100),
        ("imagenette-224", 2_100, 700, 224, 10),
    ],
)
def test_complete_and_balanced(real, name, train, test, size, classes):
    splits = real(name, normalization="none")
    assert splits.input_shape == (3, size, size)
    assert splits.train.labels.bincount().tolist() == [train // classes] * classes
    assert splits.test.labels.bincount().tolist() == [test // classes] * classes
    assert len(set(splits.class_names)) == classes


def test_pixels_are_those_that_pillow_reads(real):
    table = pq.read_table(Path(ROOT, "cifar10", "test-00000-of-00001.parquet"))
    images = [Image.open(io.BytesIO(cell["bytes"])) for cell in table["image"].to_pylist()]
    test = real("cifar10").test
    assert np.array_equal(test.images.permute(0, 2, 3, 1), np.stack(images))
    assert np.array_equal(test.labels, table["label"])


def test_cifar10_has_the_well_known_channel_statistics(real):
    normalization = real("cifar10", normalization="channel").train.normalization
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
    torch.testing.assert_close(normalization.mean.flatten() / 255, mean, rtol=0, atol=5.1e-5)
    torch.testing.assert_close(normalization.std.flatten() / 255, std, rtol=0, atol=5.1e-5)
