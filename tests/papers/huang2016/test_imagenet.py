from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.papers import Context, load, reproduce
from stochastic_depth.papers._experiment import CONSTANT, STOCHASTIC, trained
from stochastic_depth.papers.huang2016.imagenet import PROFILES, _on_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return a folder as ImageNet has it: two parts, a folder for each class."""
    top, generator = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0)
    for part in ("train", "validation"):
        for name in ("n01440764", "n02102040"):
            folder = top / part / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = generator.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return top


@pytest.mark.usefixtures("without_pages")
def test_trains_a_network_of_torchvision_on_a_folder(images, tmp_path):
    cut = {"model": "torchvision.models.resnet18", "epochs": 1, "data.cache_dir": str(tmp_path)}
    cut |= {"data.limit": 8, "batch_size": 8, "data.image_size": 32}
    paper = PROFILES["paper"]
    both = {name: paper.variants[name] for name in (CONSTANT, STOCHASTIC)}
    small = replace(paper, fields={**paper.fields, **cut}, variants=both, seeds=1)
    comparison = trained(*_on_images(small, Context(data=images)))
    assert not comparison.failures
    run = comparison.finished(STOCHASTIC)[0]
    assert run.data["name"] == str(images)
    assert (run.data["train"], run.data["validation"], run.data["test"]) == (8, 0, 8)
    assert run.survival == pytest.approx([1 - block / 16 for block in range(1, 9)])


def test_needs_to_be_told_where_the_images_are():
    with pytest.raises(InvalidArgument, match="data_dir must be given for ImageNet"):
        reproduce(load("huang2016/imagenet"), "cpu")
