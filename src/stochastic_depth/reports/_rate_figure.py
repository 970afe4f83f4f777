"""Error against budget: every candidate of a search, and the choice on fresh seeds."""

from collections.abc import Iterator

import altair as alt
import polars as pl

from ..experiments import CONSTANT, LIVE_SHARE, VALIDATION_ERROR, PairedDifference, Rate
from ._figure import Figure
from ._words import estimate, listing, provenance


def rate_figure(found: Rate) -> Figure:
    """Return the picture of a search.

    Args:
        found: The answer, of a search that tried candidates.
    """
    tried = {name: found.selection(name) for name in found.rungs[0].errors}
    words = [f"{name} {estimate(gap, 'points')}" for name, gap in tried.items() if gap]
    fresh = " The diamond is the choice on fresh seeds, with its 95 % interval." * bool(found.fresh)
    caption = (
        "Validation error: that of constant depth (dashed) minus the difference of each seed "
        f"(small) and their mean (large), over the share of the blocks that ran.{fresh} "
        f"{provenance(found.comparison)}"
    )
    description = f"Points by share of the blocks. Constant depth minus {listing(words)}."
    return Figure("rate", "Error against budget", caption, description, rate_chart(found))


def rate_chart(found: Rate) -> alt.LayerChart:
    """Draw the validation error of every candidate over the share of its blocks that ran.

    Args:
        found: The answer.

    Returns:
        The chart: small points are seeds, large ones means, and the bar is the 95 % interval of
        the choice on fresh seeds.
    """
    table = points(found)
    families = table["family"].unique(maintain_order=True).to_list()
    colour = alt.Color(
        "family:N",
        scale=alt.Scale(domain=[CONSTANT, *families]),
        legend=alt.Legend(symbolType="circle", symbolOpacity=1),
    )
    x = alt.X(
        "share:Q",
        title="share of the blocks that ran",
        scale=alt.Scale(zero=False, padding=18),
        axis=alt.Axis(format=".2f", tickCount=6),
    )
    y = alt.Y("error:Q", title=VALIDATION_ERROR.title, scale=alt.Scale(zero=False, padding=8))
    hover = ["name:N", alt.Tooltip("error:Q", format=".2f"), alt.Tooltip("n:Q", title="seeds")]
    level = pl.DataFrame({"error": [_level(found)], "family": [CONSTANT]})
    constant = alt.Chart(level).mark_rule(strokeDash=[6, 3], strokeWidth=2)
    seeds = alt.Chart(table.filter(kind="seed")).mark_point(filled=True, size=18, opacity=0.45)
    means = alt.Chart(table.filter(kind="mean"))
    large = means.mark_point(filled=True, size=110, opacity=1)
    layers = [
        constant.encode(y=y, color=colour),
        seeds.encode(x=x, y=y, color=colour),
        means.mark_line(strokeWidth=1.4).encode(x=x, y=y, color=colour),
        large.encode(x=x, y=y, color=colour, tooltip=hover),
    ]
    if found.confirmation:
        judged = alt.Chart(table.filter(kind="fresh"))
        diamond = judged.mark_point(filled=True, shape="diamond", size=170, opacity=1)
        bar = alt.Y("low:Q", title=VALIDATION_ERROR.title)
        layers.append(judged.mark_rule(strokeWidth=2).encode(x=x, y=bar, y2="high:Q", color=colour))
        layers.append(diamond.encode(x=x, y=y, color=colour, tooltip=hover))
    return alt.LayerChart(layer=layers)


def points(found: Rate) -> pl.DataFrame:
    """Return every point of the chart: seeds and mean of each candidate, and the choice judged."""
    schema = {
        **dict.fromkeys(("name", "family", "kind"), pl.String),
        **dict.fromkeys(("share", "error", "low", "high"), pl.Float64),
        "n": pl.Int64,
    }
    return pl.DataFrame(list(_points(found)), schema=schema, orient="row")


def _points(found: Rate) -> Iterator[tuple[object, ...]]:
    level = _level(found)
    for name in found.rungs[0].errors:
        difference = found.selection(name)
        if difference is None:
            continue
        place = name, _family(found, name)
        spread = found.comparison.spread(name, LIVE_SHARE)
        share = spread.mean if spread else None
        for gap in difference.differences:
            yield *place, "seed", share, level - gap, None, None, 1
        yield _mean((*place, "mean"), share, level, difference)
        if name == found.chosen and found.confirmation:
            yield _mean((*place, "fresh"), share, level, found.confirmation)


def _mean(
    place: tuple[str, ...], share: float | None, level: float, difference: PairedDifference
) -> tuple[object, ...]:
    low, high = difference.interval or (difference.spread.mean,) * 2
    return *place, share, level - difference.spread.mean, level - high, level - low, difference.n


def _level(found: Rate) -> float:
    """Return the mean validation error of constant depth on the seeds that chose."""
    runs = found.comparison.finished(CONSTANT).items()
    chose = [VALIDATION_ERROR(run) or 0.0 for seed, run in runs if seed not in found.fresh]
    return sum(chose) / len(chose)


def _family(found: Rate, name: str) -> str:
    """Return the schedule of a candidate."""
    run = next(run for run in found.comparison.runs if run.variant == name)
    return str(run.config["depth"]["schedule"])
