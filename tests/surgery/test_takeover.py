"""Layer drops of transformers: taken over, set to 0, given back; a second one warns."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BartConfig,
    BartModel,
    OPTConfig,
    OPTModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperModel,
)

import stochastic_depth as sd

SPEECH: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16,
    "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
}  # fmt: skip
SIDES: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 50,
    "encoder_layerdrop": 0.1, "decoder_layerdrop": 0.3,
}  # fmt: skip


def wav2vec2() -> nn.Module:
    return Wav2Vec2Model(Wav2Vec2Config(**SPEECH))  # layerdrop is 0.1 unless told otherwise


def opt(layerdrop: float = 0.2) -> nn.Module:
    config = OPTConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, ffn_dim=16,
        word_embed_proj_dim=16, max_position_embeddings=16, layerdrop=layerdrop,
    )  # fmt: skip
    return OPTModel(config)


def bart() -> nn.Module:
    return BartModel(BartConfig(**SIDES, max_position_embeddings=16))


def whisper() -> nn.Module:
    config = WhisperConfig(
        **SIDES, num_mel_bins=4, max_source_positions=8, max_target_positions=16, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return WhisperModel(config)


RATES = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")


def rates(model: nn.Module) -> dict[str, float]:
    """Return every rate by which some forward of the model could drop a layer."""
    configured = {name: getattr(model.config, name, 0.0) for name in RATES}
    held = {f"{p}.layerdrop": getattr(m, "layerdrop", 0.0) for p, m in model.named_modules()}
    return {name: rate for name, rate in {**configured, **held}.items() if rate}


@pytest.mark.parametrize(
    ("build", "survival"),
    [
        (wav2vec2, [0.9] * 3),
        (opt, [0.8] * 3),
        (bart, [0.9, 0.9, 0.7, 0.7]),
        (whisper, [0.9, 0.9, 0.7, 0.7]),
    ],
)
def test_layer_drops_are_taken_over_without_an_example_and_given_back(build, survival):
    model = build()
    before = rates(model)
    handle = sd.apply(model)
    assert handle.survival.tolist() == pytest.approx(survival)
    assert rates(model) == {}
    handle.remove()
    assert rates(model) == before
    assert before


def test_a_schedule_of_ones_own_takes_their_place():
    model = wav2vec2()
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    assert handle.survival.tolist() == [0.5] * 3
    assert rates(model) == {}


def opt_without() -> nn.Module:
    return opt(0.0)


@pytest.mark.parametrize("build", [wav2vec2, opt, opt_without])
def test_a_second_dropper_warns_once(build):
    model = build()
    sd.apply(model, sd.schedules.uniform(0.5), seed=0)
    x = torch.randn(2, 400) if build is wav2vec2 else torch.ones(2, 5, dtype=torch.long)
    model.train()(x)
    model.config.layerdrop = 0.1
    with pytest.warns(UserWarning, match=r"drops layers twice: its own config.layerdrop = 0.1"):
        model(x)
    model(x)


def test_wavlm_has_its_first_layer_protected_with_the_reason():
    blocks = sd.find_blocks(WavLMModel(WavLMConfig(**SPEECH)))
    assert [block.droppable for block in blocks] == [False, True, True]
    assert "it returns something that it was not given" in blocks[0].reason
