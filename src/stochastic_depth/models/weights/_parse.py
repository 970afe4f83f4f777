"""Weight processes by their written form, for files and command lines."""

import re

from ..._checks import fail, nearest
from ..._errors import InvalidArgument
from ._brownian import Brownian
from ._independent import Gaussian, Uniform
from ._process import WeightProcess
from ._stationary import Fractional, Smooth

PROCESSES: dict[str, type[WeightProcess]] = {
    kind.__name__.lower(): kind for kind in (Gaussian, Uniform, Smooth, Fractional, Brownian)
}
WRITTEN = re.compile(r"\s*([a-z]+)\s*(?:\(\s*(?:[a-z_]+\s*=\s*)?([-+.\w]*)\s*\))?\s*")


def parse(text: str) -> WeightProcess:
    """Return the process that is written as `text`, as processes print themselves.

    Args:
        text: a name, with its parameter in parentheses where it has one:
            `"gaussian"`, `"smooth(0.1)"`, `"fractional(hurst=0.7)"`.

    Raises:
        InvalidArgument: no such process, or a parameter it does not take.

    Example:
        >>> from stochastic_depth.models import weights
        >>> weights.parse("fractional(0.7)")
        fractional(hurst=0.7)
    """
    matched = WRITTEN.fullmatch(text)
    name = matched[1] if matched else text
    if matched is None or name not in PROCESSES:
        names = ", ".join(PROCESSES)
        raise fail("init", f"one of {names}", repr(text), nearest(name, PROCESSES))
    try:
        return PROCESSES[name](*map(float, filter(None, [matched[2]])))
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidArgument):  # such as H outside (0, 1): says it better
            raise
        raise fail("init", "written as 'smooth(0.1)' or 'gaussian'", repr(text)) from error
