import os
import time
from pathlib import Path

import pytest

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth._mappings import MOST_NODES, read_json, read_yaml


def bomb(level: str) -> str:
    lines = [level.format(0, "x: 1" if "{{" in level else "1")]
    for i in range(1, 12):
        inner = ", ".join([f"*a{i - 1}"] * 9)
        lines.append(level.format(i, f"<<: [{inner}]" if "{{" in level else inner))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bomb("a{0}: &a{0} [{1}]"), f"it stands for more than {MOST_NODES} entries"),
        (bomb("a{0}: &a{0} {{{1}}}"), f"it stands for more than {MOST_NODES} entries"),
        ("a: &a [*a]", r"its alias \*a stands for what it is part of"),
        ("[" * 100_000, "it is nested more than 50 levels deep"),
        ("a: [1", "it is not YAML in line 1, column 6"),
        ("a: 2020-13-45", "it is not YAML"),
        ("a: !!python/object/apply:os.system [exit]", "it is not YAML in line 1, column 4"),
        ("a: 1\0", "it is not YAML"),
    ],
)
def test_yaml_that_is_none_or_too_much_is_refused_at_once(text, problem, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    begun = time.process_time()
    with pytest.raises(DataError, match=rf"config\.yaml cannot be read \({problem}"):
        read_yaml(path)
    assert time.process_time() - begun < 5


def test_aliases_that_stand_for_little_are_read(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]")
    assert read_yaml(path) == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}] * 2}


@pytest.mark.parametrize("read", [read_json, read_yaml])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[]", "must hold named fields; it holds list"),
        (b"3", "must hold named fields; it holds int"),
        (b"\xff\xfe", r"cannot be read \(byte 0 is not UTF-8\)"),
        (b"{", r"cannot be read \(it is not (YAML|JSON)"),
        (b"9" * 5000, "cannot be read|must hold"),
        (b" " * (16 * 2**20 + 1), r"cannot be read \(it is no file of at most 16 MB\)"),
    ],
)
def test_damaged_files(read, content, problem, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(InvalidArgument, match="it is no file"):
            read_json(tmp_path / name, InvalidArgument)
    with pytest.raises(DataError, match="is not a run directory: run.json is missing"):
        read_json(tmp_path / "run.json")
    with pytest.raises(DataError, match="There is no directory"):
        read_json(Path("nowhere/run.json"))
