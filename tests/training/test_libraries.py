"""Networks of libraries by name, against what the libraries build themselves."""

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import stochastic_depth as sd
from stochastic_depth.cli._network import build_network
from stochastic_depth.training import load
from stochastic_depth.training.libraries import network

NAMES = {"timm": "timm/resnet10t", "torchvision": "torchvision/resnet18"}
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(1)
    return {
        "timm": timm.create_model("resnet10t", num_classes=7).eval(),
        "torchvision": torchvision.models.resnet18(num_classes=7).eval(),
    }


@pytest.mark.parametrize("library", NAMES)
def test_from_scratch_it_is_what_the_library_builds(library, plain):
    torch.manual_seed(1)
    if library == "torchvision":  # drawn after timm's
        timm.create_model("resnet10t", num_classes=7)
    model = network(7, name=NAMES[library]).eval()
    assert torch.equal(model(IMAGES), plain[library](IMAGES))


@pytest.mark.parametrize("library", NAMES)
@pytest.mark.parametrize("form", ["pth", "safetensors", "checkpoint", "old"])
def test_pretrained_by_path(library, form, plain, tmp_path):
    state, path = plain[library].state_dict(), tmp_path / f"weights.{form}"
    if form == "old":  # older weights do not count their batches
        state = {name: x for name, x in state.items() if "num_batches" not in name}
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save({"step": 3, "model": state} if form == "checkpoint" else state, path)
    same = network(7, name=NAMES[library], weights=str(path)).eval()
    assert torch.equal(same(IMAGES), plain[library](IMAGES))
    fewer = network(3, name=NAMES[library], weights=str(path)).state_dict()
    assert {name for name in state if not torch.equal(fewer[name], state[name])} == {
        "fc.weight",
        "fc.bias",
    }


def test_grey_images_are_seen_as_colour_images_without_colour(plain, tmp_path):
    torch.save(plain["timm"].state_dict(), tmp_path / "weights.pth")
    model = network(7, 1, name=NAMES["timm"], weights=str(tmp_path / "weights.pth")).eval()
    grey = IMAGES[:, :1]
    colours = plain["timm"](grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(model(grey), colours, rtol=1e-4, atol=1e-5)
    with pytest.raises(sd.InvalidArgument, match=r"one of timm for images of 1 channel"):
        network(7, 1, name=NAMES["torchvision"])


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "torchvision/vit_b_16"])
def test_vision_transformers_take_the_size_of_the_images(name):
    with torch.device("meta"):
        model = network(5, name=name, image_size=32)
        assert model(IMAGES.to("meta")).shape == (2, 5)


def test_transformers(tmp_path):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    small |= {"intermediate_size": 32, "patch_size": 8}
    model = network(5, name="transformers/vit", image_size=32, options=small).eval()
    logits = model(IMAGES)
    assert logits.shape == (2, 5)
    assert len(sd.find_blocks(model, example=IMAGES)) == 2
    model.model.save_pretrained(tmp_path)
    again = network(5, name="transformers/vit", weights=str(tmp_path)).eval()
    torch.testing.assert_close(again(IMAGES), logits)
    assert network(3, name="transformers/vit", weights=str(tmp_path))(IMAGES).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "keras/resnet"}, sd.InvalidArgument, "torchvision/NAME, timm/NAME, transformers"),
        ({"name": "resnet18"}, sd.InvalidArgument, "model must be torchvision/NAME"),
        ({"name": "timm/resnet17"}, sd.InvalidArgument, "Did you mean 'resnet1"),
        ({"name": "torchvision/resnet17"}, sd.InvalidArgument, "Did you mean 'resnet1"),
        ({"name": "transformers/vitt"}, sd.InvalidArgument, "Did you mean 'vit'"),
        (
            {"name": "timm/resnet18", "weights": "a9"},
            sd.InvalidArgument,
            "the path of a state dict, or .*a1_in1k",
        ),
        (
            {"name": "torchvision/resnet18", "weights": "IMAGENET1K_V9"},
            sd.InvalidArgument,
            "the path of a state dict, or IMAGENET1K_V1, DEFAULT",
        ),
        (
            {"name": "timm/resnet18", "options": {"colour": 1}},
            sd.InvalidArgument,
            "given arguments it accepts; .*'colour'",
        ),
        ({"name": "transformers/vit", "weights": "/no"}, sd.DataError, "Pass a path instead"),
    ],
)
def test_networks_that_are_not_there(arguments, error, message):
    with pytest.raises(error, match=message):
        network(**arguments)


def test_files_that_are_no_weights(tmp_path, plain):
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(sd.DataError, match="must hold a state dict; it cannot be read"):
        network(name="timm/resnet10t", weights=str(tmp_path / "text.pth"))
    torch.save({"step": 3}, tmp_path / "other.pth")
    with pytest.raises(sd.DataError, match="must hold a state dict; it holds other values"):
        network(name="timm/resnet10t", weights=str(tmp_path / "other.pth"))
    state = plain["timm"].state_dict()
    torch.save(state | {"layer1.0.conv1.weight": torch.ones(8, 64, 3, 3)}, tmp_path / "shape.pth")
    with pytest.raises(sd.InvalidArgument, match=r"whose layer1\.0\.conv1\.weight is \(8, 64, 3"):
        network(7, name="timm/resnet10t", weights=str(tmp_path / "shape.pth"))


def test_a_recipe_and_a_plan_name_them_alike():
    config = load("photographs", {"model": "timm/resnet10t"})
    assert config.model.init_args["name"] == "timm/resnet10t"
    with torch.device("meta"):
        ours = build_network("timm/resnet10t", {"num_classes": 4, "drop_rate": 0.1})
        text = build_network("transformers/gpt2", {"depth": 2, "width": 8, "heads": 2})
    assert (ours.num_classes, ours.drop_rate) == (4, 0.1)
    assert type(text).__name__ == "CausalLM"
