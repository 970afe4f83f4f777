"""Every family of transformers, built small: its default configuration with small numbers."""

import inspect
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embed_dim", "dim", "hidden_dim"), 32),
    **dict.fromkeys(("embedding_size", "word_embed_proj_dim", "emb_dim", "model_dim"), 32),
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers",
         "decoder_layers", "num_decoder_layers", "num_encoder_layers", "layers"), 3),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
         "decoder_attention_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(
        ("intermediate_size", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "d_ff", "n_inner",
         "moe_intermediate_size", "shared_expert_intermediate_size", "decoder_ffn_size"), 64),
    **dict.fromkeys(("vocab_size", "n_vocab", "decoder_vocab_size"), 120),
    **dict.fromkeys(("head_dim", "d_kv", "qk_rope_head_dim"), 8),
    **dict.fromkeys(("v_head_dim", "attention_head_size"), 8),
    **dict.fromkeys(("qk_nope_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "n_group", "topk_group"), 2),
    "max_position_embeddings": 64, "n_positions": 64, "max_source_positions": 32,
    "max_target_positions": 32, "image_size": 32, "patch_size": 8, "first_k_dense_replace": 1,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "layerdrop": 0.0, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0, "use_cache": False,
    "num_mel_bins": 16, "num_feat_extract_layers": 2, "conv_dim": (32, 32), "conv_kernel": (10, 3),
    "conv_stride": (5, 2), "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip

COUNTS = {
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
    "num_decoder_layers", "num_encoder_layers", "vocab_size", "use_cache", "layerdrop",
    "encoder_layerdrop", "decoder_layerdrop", "pad_token_id",
}  # fmt: skip
"""Numbers that fit to no other."""

LARGEST = 60_000_000
"""Parameters of what is still measured."""

DIVIDED = {"n_group": 1, "topk_group": 1}
"""Numbers that must divide others."""

DERIVED = {"hidden_size", "num_layers", "num_hidden_layers", "embed_dim"}
"""Numbers that a model of several stages derives from others."""

STAGES = {
    "depths": (2, 2, 2, 2), "hidden_sizes": (16, 32, 64, 64), "embed_dims": (16, 32, 64, 64),
    "num_heads": (1, 2, 4, 4),
}  # fmt: skip

ROWS = 3


def families() -> Iterator[str]:
    """Yield the names of all families that `AutoModel` knows."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    yield from sorted(MODEL_MAPPING_NAMES)


def build(family: str, rate: float) -> nn.Module:
    """Return the base model of a family, of the smallest configuration that it runs with.

    Raises:
        TypeError: it takes no drop rate.
        ValueError: none was found; the reason is that of the first attempt.
    """
    from transformers import CONFIG_MAPPING

    if rate and not hasattr(CONFIG_MAPPING[family](), "drop_path_rate"):
        raise TypeError("it takes no drop rate")
    failures = []
    for configure in (_set, _made_anew, _counted):
        try:
            config = configure(CONFIG_MAPPING[family])
            if rate:
                config.drop_path_rate = rate
            with torch.device("meta"):
                size = sum(p.numel() for p in _built(config).parameters())
            if size > LARGEST:
                raise ValueError(f"{size / 1e6:.0f} million parameters when small")
            return _running(_built(config))
        except Exception as error:  # of any kind, from any family
            failures.append(f"{type(error).__name__}: {error}")
    raise ValueError(failures[0])


def _set(kind: Any) -> Any:
    """Return the default configuration with small numbers in place of its own."""
    config = kind()
    _shrink(config, SMALL)
    return config


def _made_anew(kind: Any) -> Any:
    """Return a configuration made of small numbers, with what it derives from them."""
    default = vars(kind())
    small = {n: v for n, v in SMALL.items() if n in default and _alike(default[n], v)}
    return kind(**small | {n: v for n, v in DIVIDED.items() if n in small})


def _counted(kind: Any) -> Any:
    """Return the default configuration with few layers: some sizes fit in it alone."""
    config = kind()
    _shrink(config, COUNTS)
    return config


def _built(config: Any) -> nn.Module:
    from transformers import AutoModel

    chosen = {"attn_implementation": "eager"}
    try:  # grouped kernels know no float64
        return AutoModel.from_config(config, **chosen, experts_implementation="eager")
    except (TypeError, ValueError):
        return AutoModel.from_config(config, **chosen)


@torch.no_grad()
def _running(model: nn.Module) -> nn.Module:
    """Return the model, if there is something that it takes."""
    model.double().eval()
    tried = []
    for given in inputs(model):
        try:
            model(**given)
        except Exception as error:  # of any kind, from any family
            tried.append(f"{', '.join(given)}: {error}")
        else:
            return model
    raise ValueError("; ".join(tried))


def _shrink(config: Any, names: Collection[str]) -> None:
    """Make some numbers of a configuration small, and of those within it."""
    staged = hasattr(config, "depths")
    heads = [getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads")]
    for name, value in list(vars(config).items()):
        if hasattr(value, "to_dict"):
            _shrink(value, names)
        elif name in STAGES and isinstance(value, list | tuple) and value and names != COUNTS:
            if isinstance(value[0], int):
                small = STAGES[name][: len(value)]
                setattr(config, name, type(value)(small))
        elif name in names and _alike(value, SMALL[name]) and not (staged and name in DERIVED):
            setattr(config, name, DIVIDED.get(name, SMALL[name]))
    if heads[0] is not None and heads[0] == heads[1]:  # latent attention has no groups of heads
        config.num_key_value_heads = config.num_attention_heads
    kinds = vars(config).get("layer_types")  # some derive them
    if isinstance(kinds, list) and hasattr(config, "num_hidden_layers"):
        config.layer_types = [*kinds[-config.num_hidden_layers :]]


def _alike(value: Any, small: Any) -> bool:
    """Return whether a small value is of the kind that stands in a configuration."""
    if isinstance(value, bool) or isinstance(small, bool):
        return isinstance(value, bool) and isinstance(small, bool)
    kinds = (int | float, list | tuple)
    return any(isinstance(value, kind) and isinstance(small, kind) for kind in kinds)


def inputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yield what a model may take, by keyword, the likeliest first."""
    taken = inspect.signature(model.forward).parameters
    makers: dict[str, Callable[[], Iterator[Tensor]]] = {
        "input_ids": _tokens, "pixel_values": partial(_images, model), "input_values": _waves,
        "input_features": partial(_spectra, model),
    }  # fmt: skip
    main = getattr(model, "main_input_name", "input_ids")
    for name in dict.fromkeys((main, *makers)):
        if name not in makers or (name not in taken and name != main):
            continue
        for tensor in makers[name]():
            given = {name: tensor}
            if "decoder_input_ids" in taken:
                given["decoder_input_ids"] = next(_tokens())
            yield given
            if name != "input_ids" and "input_ids" in taken:
                yield {**given, "input_ids": next(_tokens())}


def _noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, *shape, generator=generator, dtype=torch.float64)


def _tokens() -> Iterator[Tensor]:
    yield torch.randint(3, 50, (ROWS, 12), generator=torch.Generator().manual_seed(0))


def _images(model: nn.Module) -> Iterator[Tensor]:
    config = getattr(model, "config", None)
    channels = getattr(config, "num_channels", 3)
    for side in (32, 64, 128, 224):
        yield _noise(channels, side, side)
    yield _noise(4, channels, 32, 32)


def _waves() -> Iterator[Tensor]:
    yield _noise(800)
    yield _noise(1, 800)


def _spectra(model: nn.Module) -> Iterator[Tensor]:
    bins = getattr(getattr(model, "config", None), "num_mel_bins", 16)
    yield _noise(bins, 64)
    yield _noise(64, bins)
