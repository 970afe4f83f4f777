"""Files and options that nobody should give, one row each, and how the program ends."""

import io
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
import yaml
from hostile_recipes import GARBLED, base

from stochastic_depth.cli import main

BOMB = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
)
RECIPES: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "a number": b"3",
    "a text": b"hello",
    "broken YAML": b"epochs: [1",
    "a tab": b"epochs:\t- 1\n\t- 2",
    "bytes": bytes(range(256)),
    "UTF-16": "epochs: 3".encode("utf-16"),
    "a NUL": b"epochs: 3\0",
    "alias bomb": BOMB.encode(),
    "merge bomb": MERGES.encode(),
    "alias of itself": b"a: &a [*a]",
    "unknown alias": b"epochs: *a",
    "100,000 levels": b"[" * 100_000,
    "a tag of Python": b"epochs: !!python/object/apply:os.system ['false']",
    "an unknown tag": b"epochs: !mine 3",
    "an impossible date": b"name: 2020-13-45",
    "two documents": b"epochs: 3\n---\nepochs: 4",
    "17 MB": b"name: " + b"x" * (17 * 2**20),
    "a pickle": b"\x80\x04\x95\x00\x00\x00\x00N.",
    "a list as a key": b"? [1]\n: 2",
}
FIELDS: dict[str, Any] = {
    "seed": [2**32, 10**400, -1, True, "x", None, [], 0.5],
    "threads": [10**11, 0, -1, 2**63],
    "epochs": [None, True, 0, 10**400, {}],
    "data": [None, [], "digits", 3],
    "depth": [None, []],
    "learning_rate": [None, []],
    "model": [None, [], {}, "torch.nn.Linear", "os.system", "torch.hub.load"],
    "optimizer": [None, [], {"class_path": "os.system"}],
    "loggers": [None, {}, [3], [{"class_path": "os.system", "init_args": {"command": "false"}}]],
    "name": [None, 3, []],
    "ema_decay": [True, "x", 1, float("nan")],
}
RECORDS = {
    "run.json": [b"", b"{", b"[]", b"3", b"\xff", b'{"status": [1]}', b"[" * 100_000, b"9" * 9999],
    "config.yaml": [b"", b"{", b"[]", b"3", b"\xff\0", BOMB.encode()],
    "metrics.csv": [b"", b"\xff", b"a,b\n1,2\n", b"\0" * 99],
    "gates.npy": [b"", b"\xff", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'"],
    "checkpoints/last.ckpt": [b"", b"\xff", b"PK\x03\x04", b"\x80\x04N."],
}
OPTIONS = {
    "json in no directory": ["--json=nowhere/x.json"],
    "json is a directory": ["--json=."],
    "out is a file": ["--out=file"],
    "out below a file": ["--out=file/run"],
    "momentum of 400 digits": ["--optimizer.init_args.momentum=" + "9" * 400],
    "seed of 5,000 digits": ["--seed=" + "9" * 5000],
    "an option without value": ["--epochs"],
    "an unknown option": ["--epoch=3"],
    "an empty option": ["--=3"],
    "a word too many": ["word"],
    "a recipe that is not there": ["--recipe=nowhere.yaml"],
    "a recipe that is a folder": ["--recipe=."],
    "a group that is a number": ["--depth=3"],
    "a transform that is a program": ["--data.transforms=[{class_path: os.system}]"],
}


def rows() -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Yield each trial: what is wrong, and what makes it and returns the arguments."""
    for name, content in RECIPES.items():
        yield f"recipe: {name}", lambda content=content: ["validate", _file("r.yaml", content)]
    for field, values in FIELDS.items():
        for value in values:
            yield f"{field}: {value!r:.40}", lambda f=field, v=value: ["validate", _recipe({f: v})]
    for name, options in OPTIONS.items():
        out = [] if any(word.startswith("--out") for word in options) else ["--out=new"]
        yield (
            f"train: {name}",
            lambda options=options, out=out: ["train", _recipe({}), *out, *options],
        )
    for file, contents in RECORDS.items():
        for verb in ("train", "report", "diagnose", "validate"):
            for content in contents:
                yield (
                    f"{verb} with {file} of {content[:12]!r}",
                    lambda v=verb, f=file, c=content: _damaged(v, f, c),
                )
    yield "a checkpoint of others", lambda: _checkpoint({"step": 3, "model": {}})
    yield "a checkpoint with a wrong step", lambda: _checkpoint({"step": "x"})
    yield "a run called run[/b]", _renamed


def _file(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def _recipe(changes: dict[str, Any]) -> str:
    return _file("r.yaml", yaml.safe_dump({**base(), **changes}).encode())


def _arguments(verb: str, run: str) -> list[str]:
    if verb in ("train", "validate"):
        return [verb, _recipe({}), f"--out={run}"]
    return [verb, run]


def _damaged(verb: str, file: str, content: bytes) -> list[str]:
    shutil.copytree("good", "run")
    Path("run", file).write_bytes(content)
    if file.endswith(".ckpt"):
        Path("run/checkpoints/previous.ckpt").unlink(missing_ok=True)
        Path("run/run.json").unlink()
    return _arguments(verb, "run")


def _checkpoint(state: dict[str, Any]) -> list[str]:
    shutil.copytree("good", "run")
    torch.save(state, "run/checkpoints/last.ckpt")
    return ["diagnose", "run"]


def _renamed() -> list[str]:
    shutil.copytree("good", "run[/b] [red]x")
    return ["report", "run[/b] [red]x"]


def table() -> list[dict[str, Any]]:
    """Try every row in a folder of its own, beside a copy of a good run."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        status, said, _ = _end(["train", _recipe({}), "--out=good"])
        assert status == 0, said
        found = []
        for number, (name, make) in enumerate(rows()):
            place = Path(folder, str(number))
            place.mkdir()
            (place / "good").symlink_to(Path(folder, "good"))
            (place / "file").touch()
            with chdir(place):
                status, said, seconds = _end(make())
            clean = status == 0 or (
                status == 2
                and said.startswith("sdepth: ")
                and said.count("\n") == 1
                and not any(word in said for word in GARBLED)
            )
            row = {"trial": name, "exit": status, "clean": clean, "seconds": round(seconds, 2)}
            found.append(row | {"said": said.strip()[:300]})
            shutil.rmtree(place)
        return found


def _end(words: list[str]) -> tuple[int | str, str, float]:
    said, begun = io.StringIO(), time.monotonic()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            status: int | str = main(words)
    except BaseException as error:  # what is looked for
        status = "foreign"
        said.write(f"{type(error).__name__}: {error}")
    return status, said.getvalue(), time.monotonic() - begun


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for row in table():
        if not row["clean"] or row["exit"] == 0 or row["seconds"] > 3:
            print(row)
