"""Show the examples of docstrings as code: griffe knows the section by its plural alone."""

import re
from typing import Any

from griffe import Extension, Object

HEADING = re.compile(r"^Example:$", flags=re.MULTILINE)


class Examples(Extension):
    """Read `Example:` as `Examples:`; as an unknown section it would be a quotation."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the section of one object; griffe calls this for each that it loads."""
        if obj.docstring:
            obj.docstring.value = HEADING.sub("Examples:", obj.docstring.value)
