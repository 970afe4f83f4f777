"""Text: how it is read, divided and turned into tokens."""

import os
from pathlib import Path

import datasets
import pytest
import torch

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import DataConfig, load

WORDS = ("depth", "is", "random", "and", "blocks", "are", "dropped", "\n")
TEXT = " ".join(WORDS[i * i % 8] for i in range(400))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def config(path, **fields):
    return DataConfig(str(path), **({"tokenizer": "bytes", "length": 16} | fields))


def test_one_text_is_divided_in_order(file):
    splits, size = load(config(file)), len(TEXT)
    texts = [bytes(part.tokens.tolist()).decode() for part in (splits.train, splits.validation)]
    assert texts == [TEXT[: size * 8 // 10], TEXT[size * 8 // 10 : size * 9 // 10]]
    assert bytes(splits.test.tokens.tolist()).decode() == TEXT[size * 9 // 10 :]
    assert (splits.num_classes, splits.input_shape, splits.is_text) == (256, (16,), True)


def test_files_of_a_folder_say_which_split_they_are(tmp_path):
    parts = {"train-0": "ab" * 20, "train-1": "cd" * 20, "test": "dc" * 20}
    for name, text in parts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    splits = load(config(tmp_path, tokenizer="characters", length=4))
    training = "ab" * 20 + "\n" + "cd" * 20
    assert splits.num_classes == len(set(training)) == 5
    assert len(splits.train.tokens) == len(training) * 9 // 10
    assert len(splits.validation.tokens) == len(training) - len(training) * 9 // 10


def _hub(monkeypatch, splits):
    """Let the hub hold these splits, of rows by column, and return what it was asked for."""
    asked = []

    def load_dataset(*names):
        asked.extend(names)
        return {split: datasets.Dataset.from_dict(rows) for split, rows in splits.items()}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_hub_id_has_a_column_of_text_and_perhaps_a_configuration(monkeypatch):
    rows = {"train": ["ab" * 30, "cd" * 30], "validation": ["ef" * 30], "other": ["gh"]}
    asked = _hub(monkeypatch, {split: {"text": texts} for split, texts in rows.items()})
    splits = load(config("owner/name:small", length=8))
    assert asked == ["owner/name", "small"]
    training = "ab" * 30 + "\n" + "cd" * 30
    assert bytes(splits.train.tokens.tolist()).decode() == training[: len(training) * 9 // 10]
    assert bytes(splits.validation.tokens.tolist()).decode() == "ef" * 30


def test_a_hub_id_without_text(monkeypatch):
    _hub(monkeypatch, {"train": {"image": [1], "label": [2]}})
    with pytest.raises(DataError, match="owner/name must have a column text; it has image, label"):
        load(config("owner/name"))


def test_characters_are_numbered_in_their_order(file):
    splits = load(config(file, tokenizer="characters"))
    known = sorted(set(TEXT[: len(TEXT) * 8 // 10]))
    assert "".join(known[token] for token in splits.test.tokens) == TEXT[len(TEXT) * 9 // 10 :]


def test_limits_draw_training_sequences_and_spread_the_others(file):
    whole = load(config(file))
    splits = load(config(file, limit=10, validation=3, test_limit=2))
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [10, 3, 2]
    assert set(splits.train.starts.tolist()) < set(whole.train.starts.tolist())
    assert splits.test.starts.tolist() == [0, len(whole.test.tokens) - 17]
    assert len(load(config(file, validation=0)).validation) == 0


def test_byte_pairs_are_learned_and_read_back(file, tmp_path):
    pytest.importorskip("tokenizers")
    splits = load(config(file, tokenizer="bpe", vocabulary=280))
    assert 256 < splits.num_classes <= 280
    assert len(splits.train.tokens) < len(TEXT) * 8 // 10
    assert splits.tokenizer is not None
    (tmp_path / "tokenizer.json").write_text(splits.tokenizer)
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        again = load(config(file, tokenizer=str(name)))
        assert torch.equal(again.train.tokens, splits.train.tokens)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": None}, "data.length must be given exactly when data.tokenizer is"),
        ({"tokenizer": None}, "data.length must be given exactly when data.tokenizer is"),
        ({"length": 0}, "data.length must be at least 1"),
        ({"flip": True}, "data.flip must be left out for text"),
        ({"vocabulary": 300}, "data.vocabulary must be given exactly when .* is bpe"),
        ({"tokenizer": "bpe"}, "data.vocabulary must be given exactly when .* is bpe"),
        ({"tokenizer": "bpe", "vocabulary": 9}, "data.vocabulary must be at least 257"),
        ({"tokenizer": "byte"}, "data.tokenizer must be .*got 'byte'.* Did you mean 'bytes'"),
        ({"tokenizer": "./none.json"}, "data.tokenizer must be .*got './none.json'"),
        ({"limit": 10_000}, "data.limit must be at most .*, the sequences there are"),
        ({"validation": 100}, "data.validation must be at most .*, the sequences there are"),
        ({"test_limit": 100}, "data.test_limit must be at most .*, the sequences there are"),
    ],
)
def test_fields_that_do_not_fit(file, fields, message):
    with pytest.raises(InvalidArgument, match=message) as refusal:
        load(config(file, **fields))
    assert "\n" not in str(refusal.value)


def test_the_digits_are_no_text():
    with pytest.raises(InvalidArgument, match="data.name must be the path of a text file"):
        config("digits")


def _damaged(path):
    path.write_bytes(b"\xff\xfe" * 100)


@pytest.mark.parametrize(
    ("write", "fields", "message"),
    [
        (lambda path: None, {}, "must be a text file or a folder of them; there is none"),
        (lambda path: path.write_text(""), {}, "must have a text to train on"),
        (lambda path: path.mkdir(), {}, "must hold files that end in .txt; it holds none"),
        (_damaged, {}, "must be text in UTF-8"),
        (lambda path: path.write_text("a" * 80), {}, "validation part of .* longer than a seq"),
        (lambda path: path.write_text("a" * 80), {"length": 70}, "train part of .* it has 64"),
        (
            lambda path: path.write_text("a" * 300 + "b" * 60),
            {"tokenizer": "characters"},
            "training text must have all characters of the rest; it lacks 'b'",
        ),
    ],
)
def test_texts_that_cannot_be_had(tmp_path, write, fields, message):
    path = tmp_path / "text.txt"
    write(path)
    with pytest.raises(DataError, match=message) as refusal:
        load(config(path, **fields))
    assert "\n" not in str(refusal.value)


ROOT = os.environ.get("STOCHASTIC_DEPTH_DATA", "")


@pytest.mark.skipif(not ROOT, reason="STOCHASTIC_DEPTH_DATA is not set")
def test_tiny_shakespeare_is_complete():
    path = Path(ROOT, "tinyshakespeare", "input.txt")
    splits = load(config(path, tokenizer="characters", length=64, validation=64, test_limit=128))
    assert splits.num_classes == 65
    sizes = [len(part.tokens) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [892_315, 111_539, 111_540]
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [13_942, 64, 128]
