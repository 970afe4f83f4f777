"""How the variants of a comparison are drawn alike in every chart."""

import altair as alt

from ...experiments import Comparison
from .._theme import DASHES

# The page sets this parameter from its check boxes; a file of its own shows everything.
SHOWN = "shown"

KEY = alt.Legend(symbolType="stroke", symbolOpacity=1)


def layered(comparison: Comparison, *layers: alt.Chart) -> alt.LayerChart:
    """Return the layers as one chart that knows which variants to draw."""
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
