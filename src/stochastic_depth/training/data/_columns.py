"""Which column of a table is the image and which the label."""

from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any

from PIL import Image

from ..._errors import DataError
from ._records import open_image

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "fine_labels")


def image_and_label(columns: Collection[str], where: str) -> tuple[str, str]:
    """Return the names of the image and the label column of a table."""
    return _choose(columns, IMAGE_COLUMNS, where), _choose(columns, LABEL_COLUMNS, where)


def _choose(columns: Collection[str], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in columns:
            return name
    raise DataError(
        f"{where} must have a column named {' or '.join(names)}; it has {', '.join(columns)}."
    )


def cell_image(cell: Mapping[str, Any] | bytes | None, where: str) -> Image.Image:
    """Open the image of one cell: encoded bytes, or a mapping with `bytes`."""
    encoded = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if not isinstance(encoded, bytes):
        raise DataError(f"{where} must hold the bytes of an image; got {type(encoded).__name__}.")
    return open_image(BytesIO(encoded), where)
