"""The look of every chart: palette, configuration, and the colour and dash of a variant.

On the page a colour is a CSS variable, so that one drawing is light, dark or printed as
the reader's system asks. In a file of its own it is the light value of that variable,
which a style replaces on dark systems.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt

from ..experiments import Comparison

# Okabe & Ito 2008, "Color universal design": distinguishable with every common form of colour
# blindness. The baseline is grey, so that colour always means "not the baseline".
LIGHT = {
    "--ink": "#1f2328",
    "--muted": "#59636e",
    "--line": "#d6dae0",
    "--ground": "#ffffff",
    "--series-0": "#6b7280",
    "--series-1": "#0072b2",
    "--series-2": "#d55e00",
    "--series-3": "#009e73",
    "--series-4": "#cc79a7",
    "--series-5": "#b07d00",
}
DARK = {
    "--ink": "#e6e8eb",
    "--muted": "#a3abb5",
    "--line": "#3a414a",
    "--ground": "#15181c",
    "--series-0": "#a3abb5",
    "--series-1": "#56b4e9",
    "--series-2": "#f0883e",
    "--series-3": "#2fc79a",
    "--series-4": "#e3a3c8",
    "--series-5": "#f0e442",
}
SERIES = tuple(name for name in LIGHT if name.startswith("--series"))
DASHES = [[6, 3], [1, 0]]  # the baseline is dashed: readable without any colour
FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"

PAGE_COLOURS = {name: f"var({name})" for name in LIGHT}


def configuration(colours: Mapping[str, str]) -> dict[str, Any]:
    """Return the Vega-Lite configuration in `colours`."""
    ink, muted = colours["--ink"], colours["--muted"]
    return {
        "background": None,
        "aria": False,  # the figure has a description; labels on every mark would be noise
        "font": FONT,
        "view": {"stroke": None},
        "range": {"category": [colours[name] for name in SERIES]},
        **_axes(colours),
        "legend": {
            "orient": "top",
            "offset": 28,  # clears the title of the vertical axis
            "direction": "horizontal",
            "columns": {"expr": "floor((containerSize()[0] || 560) / 110)"},  # three on a phone
            "title": None,
            "labelColor": ink,
            "labelFontSize": 12,
            "labelLimit": 220,
            "symbolStrokeWidth": 3,
            "symbolSize": 220,
        },
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 15,
            "subtitleColor": muted,
            "subtitleFontSize": 12,
            "subtitlePadding": 6,
        },
        "line": {"strokeWidth": 2.2},
        "rule": {"color": muted},
        "text": {"color": ink},
    }


def _axes(colours: Mapping[str, str]) -> dict[str, Any]:
    line = colours["--line"]
    both = {
        "labelColor": colours["--muted"],
        "labelFontSize": 12,
        "titleColor": colours["--ink"],
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": line,
        "domainColor": line,
        "tickColor": line,
    }
    # A title above the axis can be read without turning the head.
    above = {
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "end",
        "titleBaseline": "bottom",
        "titleX": 0,
        "titleY": -10,
    }
    vertical = above | {"domain": False, "ticks": False, "tickCount": 5}
    return {
        "axis": both,
        "axisX": {"grid": False, "titlePadding": 8, "labelSeparation": 8},
        "axisY": vertical,
    }


# The page sets this parameter from its check boxes; a file of its own shows everything.
SHOWN = "shown"

KEY = alt.Legend(symbolType="stroke", symbolOpacity=1)


def layered(comparison: Comparison, *layers: alt.Chart) -> alt.LayerChart:
    """Return the layers as one chart with the parameter of the shown variants."""
    return alt.LayerChart(layer=list(layers)).add_params(shown(comparison))


def shown(comparison: Comparison) -> alt.Parameter:
    """Return the parameter that holds the variants to draw."""
    return alt.param(name=SHOWN, value=list(comparison.variants))


def only_shown() -> str:
    """Return the filter that keeps the rows of the variants to draw."""
    return f"indexof({SHOWN}, datum.variant) >= 0"


def colour(comparison: Comparison, key: alt.Legend | None = KEY) -> alt.Color:
    """Return the colour of a variant; it does not change when others are hidden."""
    scale = alt.Scale(domain=list(comparison.variants))
    return alt.Color("variant:N", scale=scale, legend=key)


def dash(comparison: Comparison) -> alt.StrokeDash:
    """Return the dash of a variant: the baseline dashed, the others solid."""
    patterns = [DASHES[min(index, 1)] for index in range(len(comparison.variants))]
    scale = alt.Scale(domain=list(comparison.variants), range=patterns)
    return alt.StrokeDash("variant:N", scale=scale, legend=KEY)
