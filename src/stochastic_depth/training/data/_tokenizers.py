"""From text to tokens: bytes, characters, byte pairs, or a tokenizer that somebody has made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from ..._checks import fail, nearest
from ..._errors import DataError
from ._data_config import LEARNED, TOKENIZERS, DataConfig

Encode = Callable[[str], Integer[Tensor, " M"]]
PIECE = 1 << 20  # characters encoded at a time, cut at the end of a line


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """What turns text into tokens.

    Args:
        size: of the vocabulary; tokens are 0..size-1.
        encode: text -> tokens (M,), of the smallest integer type that holds them.
        file: the same as `tokenizer.json` of `tokenizers`, for one that is not a formula.
    """

    size: int
    encode: Encode
    file: str | None = None


def tokenizer_of(config: DataConfig, training_text: str) -> Tokenizer:
    """Return the tokenizer that a configuration names, learned from the training text or read.

    Raises:
        InvalidArgument: no such tokenizer.
        DataError: a file that holds none.
    """
    if config.tokenizer == "bytes":
        return Tokenizer(256, _bytes)
    if config.tokenizer == "characters":
        return _characters(training_text)
    if config.tokenizer == LEARNED:
        return _wrapped(_learned(training_text, config.vocabulary or 0))
    return _wrapped(_read(config.tokenizer or ""))


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8)


def _characters(training_text: str) -> Tokenizer:
    known = np.unique(_code_points(training_text))

    def encode(text: str) -> Tensor:
        points = _code_points(text)
        places = np.searchsorted(known, points).clip(max=len(known) - 1)
        strange = known[places] != points
        if strange.any():
            character = chr(points[strange.argmax()])
            raise DataError(
                f"The training text must have all characters of the rest; it lacks {character!r}. "
                "Pass data.tokenizer bytes."
            )
        return _smallest(places, len(known))

    return Tokenizer(len(known), encode)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _smallest(tokens: Any, size: int) -> Tensor:
    kinds = (np.uint8, np.int16, np.int32)
    kind = next(kind for kind in kinds if size - 1 <= np.iinfo(kind).max)
    return torch.from_numpy(np.asarray(tokens).astype(kind))


def _library(what: str) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        requirement = f"one of {', '.join(TOKENIZERS[:2])} without the package tokenizers"
        remedy = "Install stochastic-depth[huggingface]."
        raise fail("data.tokenizer", requirement, repr(what), remedy) from error
    return tokenizers


def _learned(training_text: str, vocabulary: int) -> Any:
    tokenizer = _library(LEARNED).ByteLevelBPETokenizer()
    lines = training_text.splitlines(keepends=True)
    tokenizer.train_from_iterator(lines, vocab_size=vocabulary, show_progress=False)
    return tokenizer._tokenizer


def _read(name: str) -> Any:
    library, path = _library(name), Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            return library.Tokenizer.from_file(str(file))
    except Exception as error:  # `tokenizers` raises nothing more special
        reason = str(error).partition("\n")[0]
        raise DataError(f"{file} must be a tokenizer.json; it cannot be read: {reason}.") from error
    requirement = f"one of {', '.join(TOKENIZERS)}, the path of a tokenizer.json, or a hub id"
    if "/" not in name or name.startswith((".", "/", "~")):
        raise fail("data.tokenizer", requirement, repr(name), nearest(name, TOKENIZERS))
    try:
        return library.Tokenizer.from_pretrained(name)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise fail("data.tokenizer", requirement, f"{name!r}, not to be had: {reason}") from error


def _wrapped(tokenizer: Any) -> Tokenizer:
    """Return a tokenizer of the library as one of ours."""
    size = tokenizer.get_vocab_size()

    def encode(text: str) -> Tensor:
        pieces = tokenizer.encode_batch(list(_pieces(text)), add_special_tokens=False)
        ids = [np.asarray(piece.ids, dtype=np.int64) for piece in pieces]
        return _smallest(np.concatenate([np.empty(0, np.int64), *ids]), size)

    return Tokenizer(size, encode, tokenizer.to_str())


def _pieces(text: str) -> list[str]:
    """Cut a long text at ends of lines, so that its pieces are encoded side by side."""
    pieces, start = [], 0
    while start < len(text):
        end = text.find("\n", start + PIECE)
        end = len(text) if end < 0 else end + 1
        pieces.append(text[start:end])
        start = end
    return pieces
