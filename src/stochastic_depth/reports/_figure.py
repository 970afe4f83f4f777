"""A chart with its title, caption and description, and its output formats."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

import altair as alt
import vl_convert

from ._theme import DARK, LIGHT, PAGE_COLOURS, configuration
from ._vega import library

STILL_WIDTH, HEIGHT = 560, 260

# Marks that only the pointer makes visible do not belong in a still drawing.
UNSEEN = re.compile(r'<(line|path) [^>]*opacity="0"[^>]*/?>(</\1>)?')

# Characters of a caption that fit beside each other in the widest of the usual fonts.
CAPTION_WIDTH = 85


ALONE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<div id="chart"></div>
<script>{library}</script>
<script>vegaEmbed("#chart", {drawn}, {{renderer: "svg"}})</script>
</html>
"""


def as_json(specification: dict[str, Any]) -> str:
    """Return JSON that cannot close the script element around it."""
    return json.dumps(specification, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _dark_form() -> str:
    """Return a style that redraws an SVG in dark colours where the reader's system is dark.

    The attributes keep the light values: programs that know no media queries draw those.
    """
    rules = (
        f'[{attribute}="{LIGHT[name]}"]{{{attribute}:{DARK[name]}}}'
        for name in LIGHT
        for attribute in ("fill", "stroke")
    )
    return f"<style>@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"


@dataclass(frozen=True)
class Figure:
    """A chart, its title, what to see in it, and its description for those who cannot see it.

    Args:
        name: Name of its files and its anchor on the page.
        title: What it shows, in a few words.
        caption: What to see, the source and n.
        description: What it shows, with the figures that matter, in place of the picture.
        chart: The chart, without size, title or colours of the ground.
    """

    name: str
    title: str
    caption: str
    description: str
    chart: alt.Chart | alt.LayerChart

    def specification(self, width: int | str = "container") -> dict[str, Any]:
        """Return the Vega-Lite specification, in the colours of the page."""
        size = {"width": width, "height": HEIGHT, "description": self.description}
        return self._drawn | size | {"config": configuration(PAGE_COLOURS)}

    def still(self) -> str:
        """Return a still drawing for the page: inline SVG that needs no script."""
        return UNSEEN.sub("", vl_convert.vegalite_to_svg(self.specification(STILL_WIDTH)))

    def svg(self) -> str:
        """Return a drawing that stands alone: title, caption, a ground, light and dark."""
        head, end, body = vl_convert.vegalite_to_svg(self._alone()).partition(">")
        return f"{head}{end}{_dark_form()}{body}"

    def png(self) -> bytes:
        """Return the pixels of `svg`, at twice its size."""
        return vl_convert.vegalite_to_png(self._alone(), scale=2)

    def html(self) -> str:
        """Return the drawing as an interactive page of its own that needs no network."""
        specification = as_json(self._alone())
        return ALONE.format(title=escape(self.title), library=library(), drawn=specification)

    def save(self, directory: str | Path) -> list[Path]:
        """Write `NAME.svg` and `NAME.png`; no browser is needed.

        Args:
            directory: Created if missing.

        Returns:
            The two files.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        drawing, pixels = directory / f"{self.name}.svg", directory / f"{self.name}.png"
        drawing.write_text(self.svg(), encoding="utf-8")
        pixels.write_bytes(self.png())
        return [drawing, pixels]

    def _alone(self) -> dict[str, Any]:
        size = {"width": STILL_WIDTH, "height": HEIGHT, "padding": 16}
        title = {"text": self.title, "subtitle": wrap(self.caption, CAPTION_WIDTH)}
        ground = {"background": LIGHT["--ground"], "config": configuration(LIGHT)}
        return self._drawn | size | {"title": title} | ground

    @cached_property
    def _drawn(self) -> dict[str, Any]:
        """The chart as Vega-Lite; Altair checks it against the schema, which takes a while."""
        with alt.data_transformers.enable("default", max_rows=None):
            return self.chart.to_dict()
