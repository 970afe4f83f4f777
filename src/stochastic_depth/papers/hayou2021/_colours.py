"""Colours of the figures: the modes, the baseline first, and what stands alone."""

import altair as alt

from ._modes import MODES

ALONE = "#0072b2"
"""The first colour of the reports that is not the baseline's."""


def by_mode(*shown: str) -> alt.Color:
    """Return the colour of a mode, the same in every figure; the legend has those shown."""
    legend = alt.Legend(values=list(shown), symbolType="stroke", symbolOpacity=1)
    return alt.Color("mode:N", scale=alt.Scale(domain=list(MODES)), legend=legend)
