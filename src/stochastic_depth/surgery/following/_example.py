"""Inputs to try a model on: the user's, or guesses, each at two batch sizes."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from ..._checks import fail
from ..._errors import Unsupported

ROWS = 2
"""Batch size of guesses; the second batch has one row more."""

SMALL = 64
"""Enough for a convolutional network, and quick."""

USUAL = (224, 32, 28)
"""Tried for models that do not say what size of image they take."""

WAVE = 2000
"""Length of a guessed wave: a handful of frames of 20 ms at 16 kHz."""

TOKENS = 8
"""Length of a guessed sequence of tokens."""


@dataclass(frozen=True)
class Inputs:
    """Arguments of a model's forward.

    Attributes:
        args: positional ones.
        kwargs: keyword arguments.
        size: how many samples they hold; 0 if that is not known.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    size: int = 0

    def __str__(self) -> str:
        leaves = pytree.tree_leaves((self.args, self.kwargs))
        return ", ".join(str(tuple(leaf.shape)) for leaf in leaves if isinstance(leaf, Tensor))


def inputs_of(example: Any) -> Inputs:
    """Return an example as arguments: one input, a tuple of them, or a batch by keywords.

    Raises:
        InvalidArgument: there is no tensor in it.
    """
    if isinstance(example, Mapping):
        args, kwargs = (), dict(example)
    else:
        args, kwargs = example if isinstance(example, tuple) else (example,), {}
    leaves = pytree.tree_leaves((args, kwargs))
    if not any(isinstance(leaf, Tensor) for leaf in leaves):
        requirement = "an input of the model: a tensor, a tuple, or a dictionary of arguments"
        raise fail("example", requirement, type(example).__name__)
    return Inputs(args, kwargs)


def candidates(model: nn.Module, example: Any | None) -> Iterator[Inputs]:
    """Yield the inputs on which `model` may be tried, the likeliest first."""
    if example is not None:
        yield inputs_of(pytree.tree_map_only(Tensor, _varied, plain(example)))
        return
    yield from _own_guess(model)
    first = _first_layer(model)
    if isinstance(first, nn.Embedding):
        noise = torch.Generator().manual_seed(0)
        count = min(first.num_embeddings, 100)
        ids = torch.randint(0, count, (ROWS, TOKENS), generator=noise, device="cpu")
        yield Inputs((ids.to(first.weight.device),), {})
    elif isinstance(first, nn.Linear):
        yield Inputs((_noise(first.weight, (ROWS, first.in_features)),), {})
        yield Inputs((_noise(first.weight, (ROWS, TOKENS, first.in_features)),), {})
    elif isinstance(first, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        weight = first.linear1.weight
        stream = _noise(weight, (ROWS, TOKENS, weight.shape[1]))
        yield Inputs((stream,), {})
        yield Inputs((stream, stream.clone()), {})
    else:
        for size in _sizes(model):
            yield Inputs((_images(first, size),), {})


def _images(conv: Any, size: Any) -> Tensor:
    """Return images that a convolution takes."""
    sides = size if isinstance(size, tuple) else (size,) * len(conv.kernel_size)
    return _noise(conv.weight, (ROWS, conv.in_channels, *sides))


def with_one_more(inputs: Inputs) -> Iterator[Inputs]:
    """Yield the inputs with one more sample, as far as can be told what a sample is.

    Tried in turn: lists of one length (detection), all tensors whose first dimension is
    that of the first tensor, and the first tensor alone.
    """
    leaves, form = pytree.tree_flatten((inputs.args, inputs.kwargs))
    lists = [leaf for leaf in (*inputs.args, *inputs.kwargs.values()) if isinstance(leaf, list)]
    if lists and all(isinstance(entry, Tensor | dict) for entry in lists[0]):
        size = len(lists[0])

        def longer(value: Any) -> Any:
            grows = isinstance(value, list) and len(value) == size
            return [*value, value[-1]] if grows else value

        kwargs = {name: longer(value) for name, value in inputs.kwargs.items()}
        yield Inputs(tuple(map(longer, inputs.args)), kwargs, size)
    tensors = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.ndim]
    if not tensors:
        return
    size = leaves[tensors[0]].shape[0]
    alike = [i for i in tensors if leaves[i].shape[0] == size]
    # Another input of that size may not be a batch: then the model fails, and the next is tried.
    for chosen in (alike, tensors[:1]):
        grown = [_one_more(leaf) if i in chosen else leaf for i, leaf in enumerate(leaves)]
        args, kwargs = pytree.tree_unflatten(grown, form)
        yield Inputs(args, kwargs, size)


def _one_more(x: Tensor) -> Tensor:
    # Not a copy of the first: equal samples would hide that they depend on each other.
    return torch.cat([x, x[:1] if not x.is_floating_point() else x[:1] * 0.9 + 0.05])


def plain(example: Any) -> Any:
    """Return a tokenizer's batch, or any other mapping, as a plain dictionary."""
    return dict(example) if isinstance(example, Mapping) else example


def _own_guess(model: nn.Module) -> Iterator[Inputs]:
    """Yield what a model of transformers says about its inputs."""
    weight = next(model.parameters(), None)
    if weight is None or not hasattr(type(model), "dummy_inputs"):
        return
    name = getattr(model, "main_input_name", "input_ids")
    taken = inspect.signature(model.forward).parameters
    if name in ("input_values", "input_features"):
        yield Inputs((), {k: v for k, v in _sound(model.config, name, weight) if k in taken})
    try:
        given = dict(model.dummy_inputs)  # type: ignore[arg-type]
    except Exception:  # a property of foreign code, that need not hold for this configuration
        return
    moved = {k: v.to(weight.device) if isinstance(v, Tensor) else v for k, v in given.items()}
    if name in moved or "input_ids" in moved:
        yield Inputs((), {k: v for k, v in moved.items() if k in taken})


def _sound(config: Any, name: str, like: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield a wave, or a spectrogram of the length that Whisper insists on, and what was said."""
    # Whisper halves its frames once, and has a position for each that is left.
    frames = 2 * getattr(config, "max_source_positions", SMALL)
    shape = (ROWS, getattr(config, "num_mel_bins", 80), frames)
    yield name, _noise(like, (ROWS, WAVE) if name == "input_values" else shape)
    said = torch.ones((ROWS, TOKENS), dtype=torch.long, device=like.device)
    yield "decoder_input_ids", said


def _first_layer(model: nn.Module) -> nn.Module:
    layers = (
        nn.Linear, _ConvNd, nn.Embedding, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
    )  # fmt: skip
    for module in model.modules():
        lazy = isinstance(module, nn.modules.lazy.LazyModuleMixin)
        if isinstance(module, layers) and not lazy:
            return module
    raise Unsupported(
        f"{type(model).__name__} must show what input it takes, by a first convolution, "
        "embedding or linear layer; it has none. Pass example=<an input of the model>."
    )


def _sizes(model: nn.Module) -> Iterator[int | tuple[int, ...]]:
    """Yield image sizes: the one a transformer was built for, a small one, the usual ones."""
    owners = (
        (getattr(model, "patch_embed", None), "img_size"), (model, "image_size"),
        (getattr(model, "config", None), "image_size"),
    )  # fmt: skip
    for owner, name in owners:
        size = getattr(owner, name, None)
        if isinstance(size, int | tuple | list):
            yield tuple(size) if isinstance(size, list) else size
    yield SMALL
    configuration = getattr(model, "default_cfg", None)
    if isinstance(configuration, dict) and "input_size" in configuration:
        yield tuple(configuration["input_size"][1:])
    yield from USUAL


def _varied(x: Tensor) -> Tensor:
    """Return noise for an example that says no more than its shape, such as zeros."""
    if not x.is_floating_point() or x.numel() < 2 or x.device.type == "meta":
        return x
    return _noise(x, tuple(x.shape)) if bool((x == x.flatten()[0]).all()) else x


def _noise(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu")
    return noise.to(device=like.device, dtype=like.dtype)
