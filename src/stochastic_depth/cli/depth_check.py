"""`sdepth depth-check`: what becomes of an architecture as it gets deeper."""

import math
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from rich.progress import track
from rich.table import Table

from .._checks import count, fail
from ._outcome import terminal, write_json

if TYPE_CHECKING:
    from ..surgery import DepthCheck
    from ..theory import RelativeChange


def depth_check(
    factory: str,
    depths: str = "8,16,32,64,128",
    shape: str = "3,32,32",
    samples: int = 8,
    repetitions: int = 10,
    margin: float = 0.1,
    seed: int = 0,
    json: Path | None = None,
) -> int:
    """Check how hidden states and gradients depend on depth, for an architecture of your own.

    The factory is called with a depth and returns a new model. Each is run forward and
    backward once, at its initial weights, on Gaussian inputs. An exponent above 0 means that
    the change over the network grows with depth (explosion), one below 0 that it vanishes
    (identity); at 0 it keeps its size (stable).

    Example: sdepth depth-check my_package.networks:factory --depths 8,16,32,64,128

    Args:
        factory: PACKAGE.MODULE:NAME of a function from a depth to a model.
        depths: separated by commas.
        shape: of one input, separated by commas.
        samples: inputs in a batch.
        repetitions: independent initialisations of each depth.
        margin: how far from 0 an exponent still counts as stable.
        seed: of the weights and the inputs.
        json: also write the figures here.

    Returns:
        0.
    """
    import torch

    from .. import surgery

    console = terminal()
    build = _factory(factory)
    size = _integers("shape", shape)
    x = torch.randn(count("samples", samples), *size, generator=torch.Generator().manual_seed(seed))
    check = surgery.depth_check(
        build,
        _integers("depths", depths),
        x,
        repetitions=repetitions,
        margin=margin,
        seed=seed,
        track=lambda items: track(items, "depths", console=terminal(stderr=True), transient=True),
    )
    console.print(_table(check))
    console.print(str(check), soft_wrap=True)
    write_json(_record(factory, check), json)
    return 0


def _factory(name: str) -> Any:
    try:
        found = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise fail(
            "factory", "PACKAGE.MODULE:NAME of a function", repr(name), str(error)
        ) from error
    if not callable(found):
        raise fail("factory", "a function from a depth to a model", type(found).__name__)
    return found


def _integers(field: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise fail(field, "whole numbers separated by commas", repr(text)) from error
    return [count(field, number) for number in numbers]


def _table(check: "DepthCheck") -> Table:
    title = "log10 of relative change"
    table = Table("depth", title=title, title_justify="left", box=None)
    for heading in ("hidden states", "gradients"):
        table.add_column(heading, justify="right")
    for depth, changes in check.measured.items():
        table.add_row(str(depth), *map(_written, changes))
    return table


def _written(change: "RelativeChange") -> str:
    mean, error = _mean_and_error(change)
    if mean is None:
        return "overflow" if (change.overflow > 0).any() else "nothing changes"
    return f"{mean:.3f} ± {error:.3f}"


def _mean_and_error(change: "RelativeChange") -> tuple[float | None, float | None]:
    means = change.log10.mean(1)
    if not means.isfinite().all():
        return None, None
    return float(means.mean()), float(means.std()) / math.sqrt(len(means))


def _record(factory: str, check: "DepthCheck") -> dict[str, Any]:
    kinds = {"hidden": check.hidden, "gradients": check.gradients}
    record: dict[str, Any] = {"factory": factory}
    for index, (kind, verdict) in enumerate(kinds.items()):
        exponent = verdict.exponent
        record[kind] = {
            "verdict": verdict.verdict,
            "exponent": None if exponent is None else exponent.value,
            "standard_error": None if exponent is None else exponent.standard_error,
            "overflow": verdict.overflow,
            "log10_change": {
                str(depth): _mean_and_error(changes[index])
                for depth, changes in check.measured.items()
            },
        }
    return record
