"""The answer to which rate: on the terminal, and as a page with error against budget."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ..experiments import (
    CONSTANT,
    LIVE_COST,
    TEST_ERROR_LAST,
    VALIDATION_ERROR,
    PairedDifference,
    Rate,
)
from ._page import TEMPLATES, configurations, furniture, write_whole
from ._rate_figure import rate_figure
from ._summary import FASTER_THAN_POSSIBLE
from ._terminal import rendered
from ._text_tables import Table, machine_table, spread_in_words
from ._words import NOTHING, counted, estimate, listing, provenance, span

POINTS = VALIDATION_ERROR.unit


def write_rate(found: Rate, path: str | Path) -> Path:
    """Write the page of a search for a rate: one file that opens without any network.

    Args:
        found: The answer.
        path: Of the HTML file; an earlier one is replaced whole.

    Returns:
        The path.
    """
    return write_whole(_page(found), Path(path))


def print_rate(found: Rate, console: Console | None = None) -> None:
    """Print the candidates and the answer.

    Args:
        found: The answer.
        console: Where to print; the standard output by default.
    """
    console = console or Console(markup=False, emoji=False)
    if found.rungs:
        console.print(rendered(candidates_table(found)))
    console.print(Text(headline(found), style="bold"))
    for sentence in [*sentences(found), *left_out_in_words(found)]:
        console.print(Text(sentence))


def headline(found: Rate) -> str:
    """Return the answer in a sentence."""
    chosen = found.chosen
    confirmed = found.confirmation and estimate(found.confirmation, POINTS)
    of = f"{chosen}, the best of {len(found.rungs[0].errors)}," if found.rungs else ""
    return {
        "recommended": f"Use {chosen}: it gains {confirmed} of validation error.",
        "not shown": f"None: {of} cannot be told from constant depth on fresh seeds, where it "
        f"gains {confirmed} of validation error.",
        "higher": f"None: {of} was worse than constant depth on fresh seeds, where it gains "
        f"{confirmed} of validation error.",
        "not lower": "None: no candidate had a lower validation error than constant depth.",
        "fits": "None: this network does not overfit here.",
    }[found.verdict]


def sentences(found: Rate) -> list[str]:
    """Return what else there is to know, one sentence each."""
    runs, seconds = found.cost
    cost = f"{counted(runs, 'training')}, {seconds:,.0f} s if one follows the other"
    return [_gap(found), *_judged(found), *_saving(found), f"The search took {cost}."]


def candidates_table(found: Rate) -> Table:
    """Return one row per candidate, in the order of their fate, and the fresh seeds below."""
    last = {name: rung for rung in found.rungs for name in rung.errors}
    order = sorted(last, key=lambda name: (-last[name].seeds, last[name].errors[name]))
    fates = {
        name: "best" if name == found.chosen else f"dropped at {rung.seeds} seeds"
        for name, rung in last.items()
    }
    columns = ("candidate", "gain", "95 % interval", "seeds", "time", "fate")
    totals: tuple[tuple[str, ...], ...] = ()
    if found.fresh and found.chosen and found.confirmation:
        judged = _numbers(found.confirmation)
        totals = ((f"{found.chosen}, fresh seeds", *judged, _time(found, found.chosen), "judged"),)
    rows = tuple(
        (name, *_numbers(found.selection(name)), _time(found, name), fates[name]) for name in order
    )
    title = (
        "Gain: validation error of constant depth − its own, in points; time: of training, as a "
        "share of that at constant depth"
    )
    return Table(title, columns, rows, totals)


def left_out_in_words(found: Rate) -> list[str]:
    """Return which candidates were not tried or did not train, and why."""
    kept_out = [f"{name} was left out: {why}" for name, why in (found.left_out or {}).items()]
    return kept_out + [f"{key} failed: {why}" for key, why in found.comparison.failures.items()]


def _gap(found: Rate) -> str:
    said = f"Validation minus training error at constant depth is {estimate(found.gap, POINTS)}"
    if found.verdict != "fits":
        return f"{said}."
    return (
        f"{said}: less than the {_worth(found)} that would be worth having, and a regulariser can "
        "at best close that gap. A budget below 1 would still save time."
    )


def _judged(found: Rate) -> Iterator[str]:
    if found.verdict == "not lower" and found.chosen:
        best = found.selection(found.chosen)
        if best:
            yield (
                f"The best of {len(found.rungs[0].errors)}, {found.chosen}, gains "
                f"{estimate(best, POINTS)}."
            )
    if found.confirmation and found.confirmation.p is not None:
        yield (
            f"p = {found.confirmation.p:.2g} (Student's t, paired by seed, two-sided), on seeds "
            "that had no part in the choice."
        )
    tested = found.on_fresh(TEST_ERROR_LAST)
    if tested:
        yield f"On test images, which decide nothing here, the gain is {estimate(tested, POINTS)}."


def _saving(found: Rate) -> Iterator[str]:
    chosen = found.chosen
    ratio = found.time_ratio(chosen) if chosen else None
    if chosen is None or ratio is None:
        return
    took = f"trained in {spread_in_words(ratio)} of the time of constant depth"
    cost = found.comparison.spread(chosen, LIVE_COST)
    if cost and ratio.mean < cost.mean - FASTER_THAN_POSSIBLE:
        took += f" ({cost.mean:.2f} of its cost: the machine was busy with something else)"
    if (
        found.verdict != "not shown"
        or found.confirmation is None
        or not found.confirmation.interval
    ):
        yield f"{chosen} {took}."
        return
    low, high = found.confirmation.interval
    yield (
        f"If time counts: {chosen} {took}, at an error that may be {high:.2f} points lower or "
        f"{-low:.2f} higher."
    )


def _worth(found: Rate) -> str:
    return f"{found.worth:g} point{'s' * (found.worth != 1)}"


def _numbers(difference: PairedDifference | None) -> tuple[str, ...]:
    if difference is None:
        return (NOTHING,) * 3
    return f"{difference.spread.mean:+.2f}", span(difference), str(difference.n)


def _time(found: Rate, name: str) -> str:
    ratio = found.time_ratio(name) if name in found.comparison.variants else None
    return NOTHING if ratio is None else f"{ratio.mean:.2f}"


def _rule(found: Rate) -> list[str]:
    seeds = [str(rung.seeds) for rung in found.rungs]
    halving = f" with {listing(seeds)} seeds" if seeds else ""
    return [
        "Constant depth trains with three seeds. If the 95 % interval of validation minus "
        f"training error lies below {_worth(found)}, nothing can be gained, and the "
        "search ends.",
        f"Candidates compete by successive halving{halving}: the better half by mean validation "
        "error goes on. Each trains to the end; the better get more seeds, not more epochs, "
        "because short trainings favour weak regularisers.",
        "The one that is left, if it was lower than constant depth on average, is trained beside "
        "it with fresh seeds. It is recommended if the 95 % interval of the difference on those, "
        "by Student's t on pairs, lies above 0. The seeds that chose it do not count: the best of "
        "several looks better than it is.",
        "It holds for other seeds of this training, not for other data.",
    ]


def _page(found: Rate) -> str:
    pictures = [rate_figure(found)] if found.rungs else []
    comparison = found.comparison
    plan = comparison.plan
    context: dict[str, Any] = {
        "title": f"{comparison.name}: {found.recommended or 'constant depth'}",
        "subject": provenance(comparison),
        "headline": headline(found),
        "sentences": sentences(found),
        "figures": pictures,
        "candidates": candidates_table(found),
        "left_out": left_out_in_words(found),
        "rule": _rule(found),
        "command": plan.command if plan else "",
        "configurations": {
            name: text
            for name, text in configurations(comparison).items()
            if name in (CONSTANT, found.chosen)
        },
        "machine": machine_table(comparison),
        **furniture(pictures),
    }
    return TEMPLATES.get_template("rate.html.j2").render(context)
