"""Extracted models of transformers are shorter models of their class, and load without us."""

import subprocess
import sys
import textwrap

import pytest
import torch
import transformers
from torch import nn

import stochastic_depth as sd

from .language_models import DECODERS, GENERATE, SMALL, gpt2, llama, padded, randomised

TOKENS = padded()["input_ids"][1:]


@pytest.fixture(params=DECODERS)
def decoder(request) -> nn.Module:
    return DECODERS[request.param]()


@pytest.mark.parametrize("gates", [[0.0, 0.0, 1.0]])
def test_a_decoder_is_shorter_and_computes_and_generates_what_the_gates_do(decoder, gates):
    gates = torch.tensor(gates)
    short = sd.extract(decoder, gates)
    with sd.gating(decoder, gates):
        expected, text = decoder(TOKENS).logits, decoder.generate(TOKENS, **GENERATE)
    assert short.config.num_hidden_layers == int(gates.sum())
    assert decoder.config.num_hidden_layers == 3
    assert (short(TOKENS).logits - expected).abs().max() < 1e-12
    assert torch.equal(short.generate(TOKENS, **GENERATE), text)
    assert torch.equal(short.generate(TOKENS, use_cache=False, **GENERATE), text)


def test_layers_are_numbered_anew_for_the_cache(decoder):
    short = sd.extract(decoder, torch.tensor([0.0, 1.0, 1.0]))
    numbers = [m.layer_idx for m in short.modules() if isinstance(getattr(m, "layer_idx", 0), int)
               and hasattr(m, "layer_idx")]  # fmt: skip
    assert sorted(set(numbers)) == [0, 1]
    assert short(TOKENS, use_cache=True).past_key_values.get_seq_length(1) == TOKENS.shape[1]


LOADED = ("gpt2", "qwen3")
LOADS = """
    import sys
    sys.modules["stochastic_depth"] = None  # an import of it raises
    import torch
    from transformers import AutoModelForCausalLM
    for name in sys.argv[1:]:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float64).eval()
        tokens, expected = torch.load(f"{name}/expected.pt")
        assert (model(tokens).logits - expected).abs().max() < 1e-12
        assert model.config.num_hidden_layers == 2
"""


def test_it_loads_in_a_process_that_cannot_import_this_library(tmp_path):
    for name in LOADED:
        short = sd.extract(DECODERS[name](), torch.tensor([1.0, 0.0, 1.0]))
        short.save_pretrained(tmp_path / name)
        torch.save((TOKENS, short(TOKENS).logits.detach()), tmp_path / name / "expected.pt")
    program = [sys.executable, "-c", textwrap.dedent(LOADS)]
    names = [str(tmp_path / name) for name in LOADED]
    done = subprocess.run([*program, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_lists_with_an_entry_per_layer_follow():
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    gemma = transformers.Gemma3TextConfig(**SMALL, head_dim=8, layer_types=types)
    model = randomised(transformers.Gemma3ForCausalLM(gemma))
    short = sd.extract(model, torch.tensor([0.0, 1.0, 1.0]))
    assert list(short.config.layer_types) == types[1:]
    smol = transformers.SmolLM3Config(**SMALL, no_rope_layers=[1, 0, 1])
    model = randomised(transformers.SmolLM3ForCausalLM(smol))
    assert sd.extract(model, torch.tensor([1.0, 0.0, 1.0])).config.no_rope_layers == [1, 1]


def test_lists_of_layers_follow():
    moe = transformers.Qwen3MoeConfig(
        **SMALL, head_dim=8, num_experts=2, num_experts_per_tok=1, moe_intermediate_size=8,
        mlp_only_layers=[2],
    )  # fmt: skip
    model = transformers.Qwen3MoeForCausalLM(moe).eval()  # its experts take no float64
    assert sd.extract(model, torch.tensor([0.0, 1.0, 1.0])).config.mlp_only_layers == [1]


SIDES = {
    "encoder_layers": 3, "decoder_layers": 3, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16,
    "vocab_size": 50,
}  # fmt: skip


def test_encoder_and_decoder_are_counted_apart():
    config = transformers.WhisperConfig(
        **SIDES, num_mel_bins=4, max_source_positions=8, max_target_positions=8, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = randomised(transformers.WhisperModel(config))
    sound = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(1)).double()
    batch = {"input_features": sound, "decoder_input_ids": TOKENS[:2, :5]}
    gates = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    short = sd.extract(model, gates, example=batch)
    assert (short.config.encoder_layers, short.config.decoder_layers) == (2, 1)
    with sd.gating(model, gates, example=batch):
        expected = model(**batch)[0]
    assert (short(**batch)[0] - expected).abs().max() < 1e-12


def test_tied_embeddings_stay_tied():
    short = sd.extract(llama(tie_word_embeddings=True), torch.tensor([1.0, 0.0, 1.0]))
    assert short.get_input_embeddings().weight is short.get_output_embeddings().weight


def scaled_by_number() -> nn.Module:
    return gpt2(scale_attn_by_inverse_layer_idx=True)


def bert() -> nn.Module:
    return randomised(transformers.BertModel(transformers.BertConfig(**SMALL)))


def bart() -> nn.Module:
    config = transformers.BartConfig(**SIDES, max_position_embeddings=16)
    return randomised(transformers.BartForConditionalGeneration(config))


@pytest.mark.parametrize(
    ("build", "gates", "reason"),
    [
        (scaled_by_number, [0.0, 1.0, 1.0], "it builds another"),
        (bert, [1.0, 0.0, 1.0], "a part was cut out"),
        (llama, [1.0, 0.5, 1.0], "a part was cut out or scaled"),
        (bart, [1.0, 0.0, 1.0, 1.0, 1.0, 1.0], "a part was cut out"),
    ],
)
def test_what_no_configuration_describes_is_said_and_computes_the_same(build, gates, reason):
    model, gates = build(), torch.tensor(gates)
    with pytest.warns(UserWarning, match=f"cannot describe what is left, because .*{reason}"):
        part = sd.extract(model, gates, example=TOKENS)
    with sd.gating(model, gates, example=TOKENS):
        expected = model(TOKENS)[0]
    assert (part(TOKENS)[0] - expected).abs().max() < 1e-12
    assert part.config.to_dict() == model.config.to_dict()
