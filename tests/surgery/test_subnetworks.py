"""Losses of many subnetworks, beside the subnetworks themselves."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import stochastic_depth as sd

from .language_models import DECODERS, gpt2, llama, padded
from .networks import NETWORKS, images

EVERY = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_they_are_those_of_the_extracted_networks(name):
    model, batch = DECODERS[name](), padded()
    handle = sd.apply(model, sd.schedules.uniform(0.5), per="sample")
    model.train()
    losses = sd.surgery.subnetwork_losses(model, [batch, batch], EVERY)
    assert model.training
    assert handle.step == 0
    handle.remove()
    model.eval()
    with torch.no_grad():
        for number in (1, 5, 6):
            part = sd.extract(model, EVERY[number])
            assert losses[number] == pytest.approx(float(part(**batch).loss))
        assert losses[-1] == pytest.approx(float(model(**batch).loss))
    assert len(set(losses.tolist())) == 8


def test_a_dropped_layer_does_not_run():
    model, ran = gpt2(), []
    for layer in model.transformer.h:
        layer.attn.register_forward_hook(lambda *_: ran.append(1))
    sd.find_blocks(model)
    ran.clear()
    f = sd.gated(model)
    ran.clear()
    f(padded(), torch.tensor([1.0, 0.0, 1.0]))
    assert len(ran) == 2


def test_of_images_with_a_loss_of_ones_own():
    name = next(iter(NETWORKS))
    model, x = NETWORKS[name](), images(name)
    y = torch.arange(len(x)) % 2
    count = len(sd.find_blocks(model))
    losses = sd.surgery.subnetwork_losses(
        model, [x], torch.ones(1, count), lambda output, _: cross_entropy(output, y)
    )
    assert losses.item() == pytest.approx(cross_entropy(model(x), y).item())


def test_bad_arguments():
    model, batch = llama(), padded()
    with pytest.raises(sd.InvalidArgument, match=r"gates must be a tensor \(subnetworks, L\)"):
        sd.surgery.subnetwork_losses(model, [batch], torch.ones(3))
    with pytest.raises(sd.InvalidArgument, match="batches must be at least one"):
        sd.surgery.subnetwork_losses(model, [], EVERY)
    with pytest.raises(sd.InvalidArgument, match="loss must be given for a model that returns"):
        sd.surgery.subnetwork_losses(model, [batch["input_ids"]], EVERY)
