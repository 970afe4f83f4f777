"""The backbone of the recipe, against torchvision's own."""

import copy

import pytest
import torch
import torchvision

import stochastic_depth as sd
from stochastic_depth.training.networks import DropoutConv2d, Pyramid, resnet50

LINEAR = sd.schedules.linear(0.8, rule="linspace")
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(1)
    return torchvision.models.resnet50(num_classes=7).eval()


@pytest.fixture(scope="module")
def saved(plain, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.pt"
    torch.save(plain.state_dict(), path)
    return str(path)


def test_from_a_path(plain, saved):
    model = resnet50(7, weights=saved).eval()
    assert torch.equal(model(IMAGES), plain(IMAGES))


def test_a_head_of_another_number_of_classes_begins_anew(plain, saved):
    model = resnet50(3, weights=saved)
    assert model.fc.weight.shape == (3, 2048)
    state, expected = model.state_dict(), plain.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected if name[:3] != "fc.")


def test_grey_images_are_seen_as_colour_images_without_colour(plain, saved):
    model = resnet50(7, in_channels=1, weights=saved).eval()
    grey = IMAGES[:, :1]
    torch.testing.assert_close(model(grey), plain(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    assert resnet50(7, in_channels=5).conv1.weight.shape == (64, 5, 7, 7)


def test_from_a_name(plain, monkeypatch):
    names = []

    def get_state_dict(self, **_):
        names.append(self.name)
        return plain.state_dict()

    monkeypatch.setattr(torchvision.models.ResNet50_Weights, "get_state_dict", get_state_dict)
    assert torch.equal(resnet50(7, weights="IMAGENET1K_V2").fc.weight, plain.fc.weight)
    assert names == ["IMAGENET1K_V2"]


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(sd.InvalidArgument, match="Did you mean 'IMAGENET1K_V2'"):
        resnet50(weights="IMAGENET1K_v2")
    (tmp_path / "other.pt").write_bytes(b"nothing")
    with pytest.raises(sd.DataError, match="must hold a state dict; it cannot be read"):
        resnet50(weights=str(tmp_path / "other.pt"))

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models.ResNet50_Weights, "get_state_dict", offline)
    with pytest.raises(sd.DataError, match=r"cannot be downloaded \(no network\)"):
        resnet50(weights="IMAGENET1K_V1")


def test_weights_of_another_network(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(sd.InvalidArgument, match="those of a ResNet; .*269 entries are"):
        resnet50(weights=str(tmp_path / "linear.pt"))
    smaller = torchvision.models.resnet18()
    torch.save(smaller.state_dict(), tmp_path / "resnet18.pt")
    with pytest.raises(sd.InvalidArgument, match="those of a ResNet; .*entries are missing"):
        resnet50(weights=str(tmp_path / "resnet18.pt"))


def test_dropout_is_torchs_own_before_the_last_convolution(plain, saved):
    model = resnet50(7, weights=saved, dropout=0.3)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(model.eval()(IMAGES), plain(IMAGES))
    dropped = [module for module in model.modules() if isinstance(module, DropoutConv2d)]
    assert len(dropped) == 16
    conv, x = dropped[5].train(), torch.randn(2, dropped[5].in_channels, 4, 4)
    torch.manual_seed(5)
    output = conv(x)
    torch.manual_seed(5)
    thinned = torch.nn.Dropout(0.3)(x)
    assert torch.equal(output, torch.nn.functional.conv2d(thinned, conv.weight))
    assert 0.2 < float((thinned == 0).float().mean()) < 0.4
    assert "dropped=0.3" in repr(conv)


def test_dropout_out_of_range():
    with pytest.raises(sd.InvalidArgument, match=r"dropped must be in \[0, 1\]; got 1.5"):
        resnet50(dropout=1.5)


def test_the_pyramid_is_what_the_stages_return(plain):
    model = copy.deepcopy(plain)
    stages = {"stride8": model.layer2, "stride16": model.layer3, "stride32": model.layer4}
    expected = {}
    for level, stage in stages.items():
        stage.register_forward_hook(lambda _, __, y, level=level: expected.update({level: y}))
    model(IMAGES)
    maps = Pyramid(plain)(IMAGES)
    assert list(maps) == list(stages)
    assert all(torch.equal(maps[level], expected[level]) for level in stages)


def test_the_gates_of_a_pyramid_are_those_of_the_whole_network(plain):
    """The seed's example: a step that skips blocks 5 and 12."""
    backbone = Pyramid(copy.deepcopy(plain))
    handle = sd.apply(backbone, LINEAR)
    assert [block.index for block in handle.blocks if not block.droppable] == [0, 3, 7, 13]
    gates = torch.ones(16)
    gates[[5, 12]] = 0.0
    deepest = {}
    model = copy.deepcopy(plain)
    model.layer4.register_forward_hook(lambda _, __, y: deepest.update(y=y))
    with sd.gating(model, gates), sd.gating(backbone, gates):
        model(IMAGES)
        assert torch.equal(backbone(IMAGES)["stride32"], deepest["y"])
    ran = []
    for block in handle.blocks:
        conv = backbone.get_submodule(block.path).conv1
        conv.register_forward_hook(lambda *_, index=block.index: ran.append(index))
    with sd.gating(backbone.train(), gates):
        backbone(IMAGES)
    assert ran == [index for index in range(16) if index not in (5, 12)]


def test_a_pyramid_of_a_trained_network_keeps_its_gates(plain):
    model = copy.deepcopy(plain).train()
    sd.apply(model, LINEAR)
    backbone = Pyramid(model)
    assert torch.equal(backbone.eval()(IMAGES)["stride32"], Pyramid(plain)(IMAGES)["stride32"])
    handle = sd.surgery.handle(model)
    step = handle.step
    deepest = backbone.train()(IMAGES)["stride32"]
    assert handle.step == step + 1
    with sd.gating(model, handle.gates):
        assert torch.equal(backbone(IMAGES)["stride32"], deepest)
