"""The evaluated network, and subnetworks, outside of PyTorch."""

import pytest
import torch

import stochastic_depth as sd

from .networks import NETWORKS, images

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def in_onnxruntime(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(output)


def test_a_model_with_gates_is_exported_as_it_is_evaluated():
    model, x = NETWORKS["timm-vit"]().float(), images("timm-vit").float()
    plain = model(x)
    sd.apply(model, sd.schedules.linear(0.5), rescale="test")
    assert (model(x) - plain).abs().max() > 1e-3
    assert (in_onnxruntime(model, x) - model(x)).abs().max() < 1e-5


def test_a_subnetwork_is_exported_with_its_constants_in_the_weights():
    model, x = NETWORKS["torchvision-resnet"]().float(), images("torchvision-resnet").float()
    gates = torch.tensor([0.7, 0.0, 1.0, 1.9, 0.3, 0.0])[: len(sd.find_blocks(model))]
    part = sd.extract(model, gates)
    with sd.gating(model, gates):
        expected = model(x)
    assert (in_onnxruntime(part, x) - expected).abs().max() < 1e-4
    assert set(part.state_dict()) < set(model.state_dict())
