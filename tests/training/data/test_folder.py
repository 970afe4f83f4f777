import shutil

import pytest
from PIL import Image

from stochastic_depth import DataError
from stochastic_depth.training.data import DataConfig, load
from stochastic_depth.training.data._folder import read_folder


def test_classes_are_numbered_by_name(image_folder):
    source = read_folder(image_folder)
    assert source.class_names == ("ant", "bee")
    assert source.splits["train"].labels.tolist() == [0] * 4 + [1] * 4
    assert source.splits["validation"].where(2).endswith("val/bee/0.png")


def test_the_only_held_out_split_is_the_test(image_folder):
    splits = load(DataConfig(str(image_folder), image_size=4))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [8, 0, 4]
    assert splits.image_shape == (3, 4, 4)


def test_splits_with_different_classes_are_refused(image_folder):
    (image_folder / "val" / "bee").rename(image_folder / "val" / "wasp")
    with pytest.raises(DataError, match=r"in train and validation; only one .* bee, wasp"):
        read_folder(image_folder)


def test_an_empty_class_and_a_folder_without_classes_are_refused(image_folder):
    shutil.rmtree(image_folder / "val" / "bee")
    (image_folder / "val" / "bee").mkdir()
    with pytest.raises(DataError, match=r"val must hold one folder of images per class; .*bee"):
        read_folder(image_folder)
    shutil.rmtree(image_folder / "train")
    (image_folder / "train").mkdir()
    with pytest.raises(DataError, match="train must hold one folder of images per class"):
        read_folder(image_folder)


@pytest.mark.parametrize("keep", [0, 30, 90])
def test_a_corrupt_image_is_named(image_folder, keep):
    file = image_folder / "train" / "bee" / "1.png"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"bee/1\.png must be an image; it"):
        load(DataConfig(str(image_folder)))


def test_colour_comes_from_any_split(image_folder):
    for file in (image_folder / "val").rglob("*.png"):
        Image.open(file).convert("L").save(file)
    splits = load(DataConfig(str(image_folder)))
    assert splits.test.images.shape == (4, 3, 8, 8)
