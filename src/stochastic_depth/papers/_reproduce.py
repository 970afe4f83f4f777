"""Run an artefact, and write down what came out, where, and with what."""

import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._files import atomic_write
from .._provenance import hardware, versions
from ..reports import result_page
from ._artefact import Artefact, Context, Outcome, Profile
from ._registry import titles


@dataclass(frozen=True)
class Result:
    """A reproduced artefact.

    Attributes:
        outcome: the numbers and the figure.
        record: what `result.json` holds.
    """

    outcome: Outcome
    record: Mapping[str, Any]

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Every claim beside its measurement."""
        return self.record["claims"]

    @property
    def failed(self) -> bool:
        """Whether some claim was measured and did not hold."""
        return any(claim["holds"] is False for claim in self.claims)

    def page(self) -> str:
        """Return the page of the result, which needs no network."""
        name = self.record["artefact"]
        return result_page(self.record, titles().get(name, name), self.outcome.figure)

    def write(self, directory: str | Path) -> None:
        """Write `result.json`, `data.parquet`, `figure.{html,svg,png}` and `report.html`.

        Each file is written whole or not at all; `result.json` comes last, so that where
        it is, the others are.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        figure = self.outcome.figure
        text = json.dumps(self.record, indent=2, ensure_ascii=False, allow_nan=False)
        contents = {
            "data.parquet": _parquet(self.outcome),
            "figure.html": figure.html().encode(),
            "figure.svg": figure.svg().encode(),
            "figure.png": figure.png(),
            "report.html": self.page().encode(),
            "result.json": f"{text}\n".encode(),
        }
        for name, content in contents.items():
            with atomic_write(directory / name) as file:
                file.write(content)


def reproduce(
    artefact: Artefact, profile: Profile = "cpu", context: Context | None = None
) -> Result:
    """Run an artefact and judge its claims.

    Args:
        artefact: what to reproduce, see `load`.
        profile: at which size.
        context: seed and progress; seed 0 and none by default.

    Raises:
        InvalidArgument: the artefact has no such profile.

    Example:
        >>> from stochastic_depth import papers
        >>> result = papers.reproduce(papers.load("hayou2021/lemma1"), "smoke")
        >>> result.failed
        False
    """
    context = Context() if context is None else context
    settings = artefact.settings(profile)
    start = time.perf_counter()
    outcome = artefact.run(settings, context)
    seconds = time.perf_counter() - start
    return recorded(artefact, profile, context, settings, outcome, seconds)


def recorded(
    artefact: Artefact,
    profile: Profile,
    context: Context,
    settings: Any,
    outcome: Outcome,
    seconds: float,
    *,
    anytime: bool = False,
) -> Result:
    """Return what was found with what is to be written about it."""
    record = {
        "artefact": artefact.name,
        "source": artefact.source,
        "profile": profile,
        "settings": asdict(settings),
        "seed": context.seed,
        "seconds": round(seconds, 3),
        "hardware": hardware(),
        "versions": versions("numpy", "scipy"),
        "claims": artefact.judged(outcome, profile, anytime=anytime),
        "notes": list(outcome.notes),
    }
    return Result(outcome, record)


def _parquet(outcome: Outcome) -> bytes:
    buffer = io.BytesIO()
    outcome.data.write_parquet(buffer)
    return buffer.getvalue()
