"""Causal language models of transformers, from a configuration or pretrained.

model = CausalLM(vocab_size=256, length=64, depth=6, width=64, heads=4)     # a small GPT-2
sd.apply(model, sd.schedules.linear(0.6, rule="linspace"), per="sample")

Needs the extra `huggingface`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from .._checks import count, fail, nearest
from .._errors import DataError

__all__ = ["CausalLM"]

# What a family calls the number of blocks, of features, of heads, and the longest sequence.
SIZES: Mapping[str, str] = {
    "depth": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "length": "max_position_embeddings",
}
# Follows from the sizes where a configuration has it, and is not given.
FOLLOWS = {
    "num_key_value_heads": lambda sizes: sizes["heads"],
    "head_dim": lambda sizes: sizes["width"] // sizes["heads"],
    "intermediate_size": lambda sizes: 4 * sizes["width"],
}
# Dropout of single numbers, which is no part of the question; and tokens of another vocabulary.
OFF: Mapping[str, Any] = {
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "attention_dropout": 0.0,
    "hidden_dropout": 0.0,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


class CausalLM(nn.Module):
    """A causal language model of transformers, as a map from tokens to logits.

    Args:
        vocab_size: of the tokenizer.
        length: of the longest sequence.
        name: family of the configuration, such as `"gpt2"`, `"llama"` or `"qwen3"`; any that
            `AutoModelForCausalLM` knows, also as `"transformers/gpt2"`.
        depth: blocks.
        width: features of a hidden state, a multiple of `heads`.
        heads: of attention.
        weights: path of a folder that `save_pretrained` wrote, or a hub id, in place of all of
            the above but `vocab_size` and `length`, which must fit.
        options: further fields of the configuration, such as `intermediate_size`. What is not
            given is the family's default, but: no dropout, as many key heads as heads,
            `intermediate_size` four times the width.

    Shapes:
        tokens: (N, T), T at most `length`. The logits are (N, T, vocabulary).

    Raises:
        InvalidArgument: no such family, a size out of range, or a pretrained model of a smaller
            vocabulary or for shorter sequences.
        DataError: pretrained weights that cannot be read.

    Example:
        >>> import torch
        >>> model = CausalLM(vocab_size=256, length=16, depth=2, width=8, heads=2)
        >>> model(torch.zeros(3, 16, dtype=torch.int64)).shape
        torch.Size([3, 16, 256])
    """

    def __init__(
        self,
        vocab_size: int,
        length: int,
        *,
        name: str = "gpt2",
        depth: int = 6,
        width: int = 64,
        heads: int = 4,
        weights: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        sizes = {"depth": depth, "width": width, "heads": heads, "length": length}
        for field, size in {"vocab_size": vocab_size, **sizes}.items():
            count(field, size)
        if width % heads:
            raise fail("width", f"a multiple of the {heads} heads", width)
        if weights is None:
            self.model = _configured(name, vocab_size, sizes, dict(options or {}))
        else:
            self.model = _pretrained(weights, dict(options or {}))
            self._check(vocab_size, length)

    def forward(self, tokens: Int[Tensor, "N T"]) -> Float[Tensor, "N T V"]:
        """Return, at every place, a logit of each token that may come next."""
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits

    def _check(self, vocab_size: int, length: int) -> None:
        config: Any = self.model.config
        if config.vocab_size < vocab_size:
            given = f"a vocabulary of {config.vocab_size}"
            raise fail("weights", f"a model of the {vocab_size} tokens of the data", given)
        longest = getattr(config, "max_position_embeddings", None)
        if longest is not None and longest < length:
            given = f"one for {longest} tokens"
            raise fail("weights", f"a model for sequences of {length} tokens", given)


def _configured(
    name: str, vocab_size: int, sizes: Mapping[str, int], options: dict[str, Any]
) -> nn.Module:
    transformers = transformers_or_refuse("a causal language model")
    family = name.removeprefix("transformers/")
    families = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if family not in families:
        requirement = "a family that AutoModelForCausalLM knows, such as gpt2 or llama"
        raise fail("model name", requirement, repr(name), nearest(family, families))
    fields = {field: sizes[size] for size, field in SIZES.items()}
    default = transformers.AutoConfig.for_model(family)
    follows = {key: of(sizes) for key, of in FOLLOWS.items() if getattr(default, key, None)}
    off = {key: value for key, value in OFF.items() if hasattr(default, key)}
    chosen = {"vocab_size": vocab_size, **off, **follows, **fields, **options}
    try:
        config = transformers.AutoConfig.for_model(family, **chosen)
        model: nn.Module = transformers.AutoModelForCausalLM.from_config(config)
    except Exception as error:  # each family checks its configuration in its own way
        reason = str(error).partition("\n")[0].rstrip(".")
        raise fail("model", f"a configuration of {family}", chosen, reason) from error
    return model


def _pretrained(weights: str, options: dict[str, Any]) -> nn.Module:
    transformers = transformers_or_refuse("a causal language model")
    path = Path(weights).expanduser()
    try:
        model: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
            str(path) if path.exists() else weights, **options
        )
    except Exception as error:  # of the file, the network, the hub or the weights
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(
            f"weights must be a folder that save_pretrained wrote, or a hub id; {weights!r} "
            f"cannot be read ({reason})."
        ) from error
    return model


def transformers_or_refuse(what: str) -> Any:
    """Return the module `transformers`; without it `what` cannot be had."""
    try:
        import transformers
    except ImportError as error:
        remedy = "Install stochastic-depth[huggingface]."
        raise fail("model", "one that needs no transformers", what, remedy) from error
    return transformers
