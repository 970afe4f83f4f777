"""From a configuration to sequences of tokens: which to train on, to validate and to test."""

import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Integer
from torch import Tensor

from ..._checks import fail
from ..._errors import DataError
from ._data_config import DataConfig
from ._records import SPLIT_WORDS
from ._splits import Splits
from ._token_set import TokenSet
from ._tokenizers import tokenizer_of

HELD_OUT = ("test", "validation")
SHARE = 10  # one part in so many is held out, where the data do not say which


def load_text(config: DataConfig) -> Splits:
    """Load a text, divide it, and cut it into sequences.

    Args:
        config: which text, with a tokenizer and a length.

    Returns:
        The splits; every sequence is the input, and its target begins one token later.

    Raises:
        DataError: text that is missing, empty, not UTF-8, or shorter than a sequence.
        InvalidArgument: more sequences asked for than there are, or no such tokenizer.
    """
    texts = _divided(_read(config))
    tokenizer = tokenizer_of(config, texts["train"])
    tokens = {split: tokenizer.encode(text) for split, text in texts.items()}
    return Splits(
        train=_training(tokens["train"], config),
        validation=_held_out("validation", tokens["validation"], config.held_out, config),
        test=_held_out("test", tokens["test"], config.test_limit, config),
        num_classes=tokenizer.size,
        class_names=(),
        input_shape=(config.length or 0,),
        tokenizer=tokenizer.file,
    )


def _divided(texts: dict[str, str]) -> dict[str, str]:
    """Return train, validation and test; what the data do not hold out is cut off the end.

    All of a text are tenths of it: the last one tests, the one before validates.
    """
    train, missing = texts["train"], [split for split in HELD_OUT if split not in texts]
    parts, end = dict(texts), len(train)
    for number, split in enumerate(missing, start=1):
        start = len(train) * (SHARE - number) // SHARE
        parts[split], end = train[start:end], start
    return parts | {"train": train[:end]}


def _training(tokens: Integer[Tensor, " M"], config: DataConfig) -> TokenSet:
    packed = TokenSet.packed(tokens, _long_enough("train", tokens, config))
    if config.limit is None:
        return packed
    if config.limit > len(packed):
        requirement = f"at most {len(packed)}, the sequences there are"
        raise fail("data.limit", requirement, config.limit)
    order = torch.randperm(len(packed), generator=torch.Generator().manual_seed(config.split_seed))
    return packed.subset(order[: config.limit])


def _held_out(
    split: str, tokens: Integer[Tensor, " M"], number: int | None, config: DataConfig
) -> TokenSet:
    if number == 0:
        return TokenSet.packed(tokens[:0], config.length or 0)
    length = _long_enough(split, tokens, config)
    packed = TokenSet.packed(tokens, length)
    if number is None:
        return packed
    if number > len(packed):
        field = "data.validation" if split == "validation" else "data.test_limit"
        raise fail(field, f"at most {len(packed)}, the sequences there are", number)
    return TokenSet.spread(tokens, length, number)


def _long_enough(split: str, tokens: Integer[Tensor, " M"], config: DataConfig) -> int:
    length = config.length or 0
    if len(tokens) <= length:
        raise DataError(
            f"The {split} part of {config.name} must be longer than a sequence of {length} tokens; "
            f"it has {len(tokens)}. Pass a longer text or a smaller data.length."
        )
    return length


def _read(config: DataConfig) -> dict[str, str]:
    """Return the text of each split that the data have; train among them."""
    where = config.folder
    texts = _read_hub(config.name) if where is None else _read_files(where)
    if not texts.get("train"):
        raise DataError(f"{config.name} must have a text to train on; its text is empty.")
    return {split: text for split, text in texts.items() if split in ("train", *HELD_OUT)}


def _read_files(path: Path) -> dict[str, str]:
    if path.is_file():
        return {"train": _text_of(path)}
    if not path.is_dir():
        raise DataError(f"{path} must be a text file or a folder of them; there is none.")
    files = sorted(path.glob("**/*.txt"))
    if not files:
        raise DataError(f"{path} must hold files that end in .txt; it holds none.")
    parts: dict[str, list[str]] = {}
    for file in files:
        word = re.split(r"[-_. ]", file.name)[0].lower()
        parts.setdefault(SPLIT_WORDS.get(word, "train"), []).append(_text_of(file))
    return {split: "\n".join(texts) for split, texts in parts.items()}


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} must be text in UTF-8; it cannot be read ({error}).") from error


def _read_hub(name: str) -> dict[str, str]:
    """Download the column `text` of a data set, or find it in the cache of `datasets`."""
    import datasets  # slow to import, and files do without

    identifier, _, configuration = name.partition(":")
    try:
        parts: Any = datasets.load_dataset(identifier, configuration or None)
    except Exception as error:  # whatever the network, the hub and its builders raise
        reason = str(error).partition("\n")[0]
        remedy = "Pass the path of a text file or of a folder of them."
        raise DataError(f"{name} cannot be loaded ({reason}). {remedy}") from error
    texts = {}
    for split, part in parts.items():
        if "text" not in part.column_names:
            columns = ", ".join(part.column_names)
            raise DataError(f"{name} must have a column text; it has {columns}.")
        if split in SPLIT_WORDS:
            texts[SPLIT_WORDS[split]] = "\n".join(part["text"])
    return texts
