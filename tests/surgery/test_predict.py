"""Monte Carlo over gates."""

import itertools
import math

import pytest
import torch
from scipy.stats import entropy
from torch import nn

import stochastic_depth as sd

from .language_models import DECODERS, padded
from .networks import NETWORKS, images

P = torch.tensor([0.9, 0.4, 0.7], dtype=torch.float64)


def setting() -> tuple[nn.Module, torch.Tensor, sd.gates.Bernoulli]:
    return NETWORKS["timm-vit"](), images("timm-vit", 2), sd.gates.Bernoulli(P)


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_the_moments_are_those_of_the_enumeration(per):
    model, x, law = setting()
    weights, outputs = [], []
    for kept in itertools.product((0.0, 1.0), repeat=3):
        kept = torch.tensor(kept, dtype=torch.float64)
        weights.append(torch.where(kept == 1, P, 1 - P).prod())
        with sd.gating(model, kept / P), torch.no_grad():
            outputs.append(model(x))
    weights, outputs = torch.stack(weights), torch.stack(outputs)
    mean = torch.einsum("s,s...->...", weights, outputs)
    variance = torch.einsum("s,s...->...", weights, (outputs - mean).square())

    draws = 600
    prediction = sd.surgery.predict(model, x, draws, law=law, per=per, seed=3)
    # Fixed seed; 6 means of n = 600 draws in z scores, and 6 variances. |z| < 4.5 for all
    # six has a false-alarm rate below 5e-5; at a kurtosis of 3 a variance is within 25 per
    # cent but for 4.3 standard errors, all six together 1e-4.
    z = (prediction.mean - mean) / (variance / draws).sqrt()
    assert z.abs().max() < 4.5
    assert ((prediction.variance / variance) - 1).abs().max() < 0.25


def test_mutual_information_is_the_entropy_of_the_mean_less_the_mean_entropy():
    model, x, law = setting()
    prediction = sd.surgery.predict(model, x, 20, law=law)
    p = prediction.outputs.softmax(-1).numpy()
    expected = entropy(p.mean(0), axis=-1) - entropy(p, axis=-1).mean(0)
    assert prediction.mutual_information.numpy() == pytest.approx(expected, abs=1e-12)
    assert (prediction.mutual_information > 0).all()
    assert (prediction.mutual_information < math.log(3)).all()
    assert prediction.probabilities.sum(-1).numpy() == pytest.approx(1.0)


def test_it_takes_the_law_of_the_model_and_leaves_no_trace():
    model, x, _ = setting()
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    model.train()
    state = torch.random.get_rng_state()
    one = sd.surgery.predict(model, x, 8, seed=1)
    assert torch.equal(one.outputs, sd.surgery.predict(model, x, 8, seed=1).outputs)
    assert not torch.equal(one.outputs, sd.surgery.predict(model, x, 8, seed=2).outputs)
    assert model.training
    assert handle.step == 0
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_doubt_there_is_no_information():
    model, x, _ = setting()
    prediction = sd.surgery.predict(model, x, 4, law=sd.gates.Bernoulli(torch.ones(3)))
    assert prediction.variance.abs().max() < 1e-20
    assert prediction.mutual_information.abs().max() < 1e-12


def test_bad_arguments():
    model, x, law = setting()
    with pytest.raises(sd.InvalidArgument, match="law must be given for a model without"):
        sd.surgery.predict(model, x)
    with pytest.raises(sd.InvalidArgument, match="draws must be"):
        sd.surgery.predict(model, x, 1, law=law)
    with pytest.raises(
        sd.InvalidArgument, match="model must be one that returns a tensor, or logits"
    ):
        sd.surgery.predict(Pair(model), x, law=law)


class Pair(nn.Module):
    image_size = 16

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x), x


@pytest.mark.parametrize("per", ["sample", "batch"])
def test_of_a_decoder_with_a_padding_mask(per):
    model, batch, law = DECODERS["llama"](), padded(), sd.gates.Deterministic([1.0, 0.0, 1.0])
    del batch["labels"]
    prediction = sd.surgery.predict(model, batch, 3, law=law, per=per)
    with sd.gating(model, torch.tensor([1.0, 0.0, 1.0])):
        expected = model(**batch).logits
    assert prediction.outputs.shape == (3, *expected.shape)
    assert (prediction.outputs - expected).abs().max() < 1e-12
    assert prediction.mutual_information.shape == expected.shape[:2]
