"""Run a graph node by node."""

from typing import Any

from torch import fx


class Interpreter(fx.Interpreter):
    """Hands layers lists that they may append to, as a written function does."""

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of `n`."""
        args, kwargs = super().fetch_args_kwargs_from_env(n)
        return _plain(args), {name: _plain(value) for name, value in kwargs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return tuple(map(_plain, value)) if type(value) is tuple else value
