import pytest
import torch

from stochastic_depth import InvalidArgument
from stochastic_depth.training import Component


def test_init_args_win_over_what_is_derived():
    layer = Component("torch.nn.Linear", {"out_features": 5}).build(in_features=2, out_features=3)
    assert layer.weight.shape == (5, 2)


def test_functions_are_components_too():
    assert Component("torchvision.models.resnet18").build(num_classes=3).fc.out_features == 3


@pytest.mark.parametrize(
    ("path", "name", "by_name", "expected"),
    [
        ("torch.nn.Linear", "bias", True, True),
        ("torch.nn.Linear", "num_classes", False, False),
        ("torchvision.models.resnet18", "num_classes", False, True),  # through **kwargs
        ("torchvision.models.resnet18", "num_classes", True, False),
    ],
)
def test_accepts(path, name, by_name, expected):
    assert Component(path).accepts(name, by_name=by_name) is expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("torch.nn.Linea", "must be a name in torch.nn; got 'Linea'. Did you mean 'Linear'"),
        ("torhc.nn.Linear", "must be an import path; got 'torhc.nn.Linear'. No module named"),
        ("Linear", "must be an import path; got 'Linear'"),
    ],
)
def test_paths_that_lead_nowhere(path, message):
    with pytest.raises(InvalidArgument, match=message):
        Component(path)


def test_arguments_it_does_not_take():
    with pytest.raises(InvalidArgument, match="torch.nn.Linear must be called .* 'in_feature'"):
        Component("torch.nn.Linear", {"in_feature": 3}).build(out_features=3)


def test_builds_what_the_path_names():
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    optimizer = Component("torch.optim.AdamW", {"weight_decay": 0.3}).build(parameters, lr=0.7)
    assert type(optimizer) is torch.optim.AdamW
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.7, 0.3)
