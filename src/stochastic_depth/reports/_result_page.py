"""One page for a reproduced figure or table of a paper."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from ._figure import Figure
from ._page import TEMPLATES, furniture
from ._text_tables import Table, facts_table
from ._words import NOTHING, counted, listing

# In the order of the sentence: the good news first, what is open last.
VERDICTS = ("held", "not held", "cannot tell", "not measured")
WORDS = {"not held": "did not hold", "cannot tell": "cannot be told from this measurement"}


def result_page(record: Mapping[str, Any], title: str, figure: Figure) -> str:
    """Return the page of a result: its verdicts, its figure, every claim, how to repeat it.

    Args:
        record: What `result.json` holds.
        title: Of the artefact.
        figure: Of the artefact.

    Returns:
        One HTML file that opens without any network.
    """
    context: dict[str, Any] = {
        "title": title.removesuffix("."),
        "source": record["source"],
        "profile": record["profile"],
        "headline": claims_headline(record),
        "sentences": _sentences(record),
        "figure": figure,
        "claims": claims_table(record),
        "notes": record["notes"],
        "command": f"sdepth reproduce {record['artefact']} --profile {record['profile']} "
        f"--seed {record['seed']}",
        "settings": yaml.safe_dump(_plain(record["settings"]), sort_keys=False),
        "machine": facts_table({**record["hardware"], **record["versions"]}),
        **furniture([figure]),
    }
    return TEMPLATES.get_template("result.html.j2").render(context)


def claims_headline(record: Mapping[str, Any]) -> str:
    """Return how many claims have each verdict.

    Example:
        >>> claims_headline({"claims": [{"verdict": "held"}, {"verdict": "not held"}]})
        'Of 2 claims 1 held and 1 did not hold.'
    """
    counts = Counter(claim["verdict"] for claim in record["claims"])
    if set(counts) == {"not measured"}:
        return "Too small to measure any claim: this shows that it runs."
    words = [f"{counts[v]} {WORDS.get(v, v)}" for v in VERDICTS if v in counts]
    return f"Of {counted(len(record['claims']), 'claim')} {listing(words)}."


def claims_table(record: Mapping[str, Any]) -> Table:
    """Return every claim beside its measurement; those that did not hold come first."""
    order = ("not held", "cannot tell", "held", "not measured")
    claims = sorted(record["claims"], key=lambda claim: order.index(claim["verdict"]))
    columns = ("claim", "verdict", "stated", "tolerance", "measured", "standard error", "n")
    rows = tuple(
        (
            claim["name"],
            claim["verdict"],
            f"{claim['relation']} {claim['expected']:.6g}",
            f"{claim['tolerance']:.3g}",
            *(_number(claim[key]) for key in ("measured", "standard_error", "n")),
        )
        for claim in claims
    )
    return Table("Stated and measured", columns, rows)


def _sentences(record: Mapping[str, Any]) -> list[str]:
    """Return what did not hold, in words, and how long it took."""
    failed = [claim for claim in record["claims"] if claim["verdict"] == "not held"]
    words = [
        f"{claim['name']}: stated {claim['relation']} {claim['expected']:.4g}, measured "
        f"{_number(claim['measured'])} ± {_number(claim['standard_error'])}."
        for claim in failed[:3]
    ]
    if len(failed) > len(words):
        words.append(f"{len(failed) - len(words)} more are in the table of claims.")
    return [*words, f"Measured in {record['seconds']:,.3g} s, seed {record['seed']}."]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _plain(value: Any) -> Any:
    """Return the value in YAML's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, frozenset, set)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
