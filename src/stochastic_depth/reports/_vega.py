"""The scripts that draw charts in a page: Vega, Vega-Lite and Vega-Embed."""

import os
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import vl_convert

from .._files import user_cache, write_text


@cache
def library() -> str:
    """Return the scripts in one.

    To bundle them takes seconds of the processor, as long as many an artefact: the copy in
    the user's cache is made once for each version of the library that holds them.
    """
    path = _place()
    with suppress(OSError):
        if path is not None and path.exists():
            return path.read_text(encoding="utf-8")
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub errs
    with suppress(OSError):  # where nothing can be kept, it is made again
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            own = path.with_suffix(f".{os.getpid()}.js")  # other processes may be at it
            write_text(own, bundle)
            own.replace(path)
    return bundle


def _place() -> Path | None:
    try:
        return user_cache() / f"vega-{version('vl-convert-python')}.js"
    except RuntimeError:  # nobody's home
        return None
