"""`sdepth reproduce`: a figure or table of a paper, the printed number beside the measured."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from .. import papers
from .._errors import InvalidArgument
from ._outcome import print_place, terminal, write_json

if TYPE_CHECKING:
    from ..papers import Result

Item = TypeVar("Item")

COLOURS = {"held": "green", "not held": "red", "cannot tell": "yellow", "not measured": "dim"}


def reproduce(
    artefact: str | None = None,
    profile: Literal["smoke", "cpu", "paper"] = "cpu",
    out: Path | None = None,
    until: Literal["measured", "decided"] = "measured",
    hours: float = 1.0,
    seed: int = 0,
    data_dir: Path | None = None,
    runs: Path | None = None,
    list: bool = False,
    json: Path | None = None,
) -> int:
    """Reproduce one figure or table, and compare it with what is printed.

    Example: sdepth reproduce hayou2021/table1 --profile paper --out results/table1

    Args:
        artefact: PAPER/NAME, such as hayou2021/table1; --list names them all. Or an import path.
        profile: smoke (seconds), cpu (minutes to an hour on two cores) or paper.
        out: directory for report.html, result.json, data.parquet and figure.html, .svg,
            .png; ARTEFACT under the working directory by default.
        until: measured, with the seeds of the profile; or decided: one seed more at a time, until
            every claim held or did not, or `hours` are over.
        hours: after which --until decided begins no other seed.
        seed: all randomness is a function of it.
        data_dir: folder with the images, for artefacts that train on some; they are
            downloaded otherwise.
        runs: directory of training runs, where the same command goes on after it was
            stopped, and which artefacts that train the same networks may share; OUT/runs by
            default.
        list: name every artefact and leave.
        json: also write result.json here.

    Returns:
        0, or 1 if a claim was measured and did not hold.
    """
    console = terminal()
    if list:
        _print_titles(console)
        return 0
    if artefact is None:
        raise InvalidArgument(
            "artefact must be given; got none. `sdepth reproduce --list` names them."
        )
    directory = Path(artefact) if out is None else out
    context = papers.Context(seed, _tracker(console), runs or directory / "runs", data_dir)
    chosen = papers.load(artefact)
    if until == "decided":
        result = papers.decide(chosen, profile, context, hours=hours)
    else:
        result = papers.reproduce(chosen, profile, context)
    result.write(directory)
    write_json(result.record, json)
    _print_claims(console, result, directory)
    return int(result.failed)


def _tracker(console: Console) -> Any:
    def show(items: Iterable[Item], description: str) -> Iterable[Item]:
        return track(items, description, console=console, transient=True)

    return show


def _print_titles(console: Console) -> None:
    table = Table("artefact", "shows", box=None)
    for name, title in papers.titles().items():
        table.add_row(name, title)
    console.print(table)


def _print_claims(console: Console, result: "Result", directory: Path) -> None:
    record = result.record
    console.print(f"{record['artefact']} ({record['profile']}): {record['source']}")
    table = Table("claim", "printed", "tolerance", "measured", "error", "n", "verdict", box=None)
    for claim in result.claims:
        verdict = claim["verdict"]
        table.add_row(
            claim["name"],
            f"{claim['relation']} {claim['expected']:.6g}",
            f"{claim['tolerance']:.3g}",
            *(_number(claim[key]) for key in ("measured", "standard_error", "n")),
            Text(verdict, style=COLOURS[verdict]),
        )
    console.print(table)
    for note in record["notes"]:
        console.print(f"Note: {note}")
    console.print(f"{record['seconds']} s")
    print_place(directory)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
