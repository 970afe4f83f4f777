"""Small models of transformers, and batches for them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

GENERATE: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}


def gpt2(**other: Any) -> nn.Module:
    config = GPT2Config(
        n_embd=16, n_layer=other.pop("n_layer", 3), n_head=2, vocab_size=50, n_positions=32,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, **other,
    )  # fmt: skip
    return randomised(GPT2LMHeadModel(config))


def llama(**other: Any) -> nn.Module:
    return randomised(LlamaForCausalLM(LlamaConfig(**SMALL | other)))


def qwen3(**other: Any) -> nn.Module:
    return randomised(Qwen3ForCausalLM(Qwen3Config(**SMALL | {"head_dim": 8} | other)))


def mistral(**other: Any) -> nn.Module:
    return randomised(MistralForCausalLM(MistralConfig(**SMALL | other)))


DECODERS: dict[str, Callable[..., nn.Module]] = {
    "gpt2": gpt2,
    "llama": llama,
    "qwen3": qwen3,
    "mistral": mistral,
}


def randomised(model: nn.Module) -> nn.Module:
    """Give weights of a size that every layer matters; evaluation mode, float64."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.double().eval()


def padded(samples: int = 4, length: int = 7) -> dict[str, Tensor]:
    """Return a tokenizer's batch with labels; the first sample is shorter."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(3, 50, (samples, length), generator=generator)
    mask = torch.ones_like(tokens)
    mask[0, length - 2 :] = 0
    return {
        "input_ids": tokens * mask,
        "attention_mask": mask,
        "labels": tokens.masked_fill(mask == 0, -100),
    }
