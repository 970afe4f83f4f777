"""Silence on request: results go nowhere but into files, and nothing moves on the terminal."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def quiet() -> Iterator[None]:
    """Print no result and no progress; warnings, and errors that end the program, are told."""
    told = sys.stderr
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.showwarning = _shown_on(told)
        yield


def _shown_on(stream: TextIO) -> Any:
    def show(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        stream.write(warnings.formatwarning(message, category, filename, lineno))

    return show
