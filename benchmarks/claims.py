"""Write a page and a figure per paper from the committed results: stated, and measured.

python benchmarks/claims.py           # rewrite docs/papers
python benchmarks/claims.py --check   # exit 1 if the pages do not say what the results say
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from stochastic_depth.papers import titles
from stochastic_depth.reports import Figure
from stochastic_depth.reports._theme import LIGHT

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "papers"
PAGES = ROOT / "docs" / "papers"
PICTURES = ROOT / "docs" / "assets"

PAPERS = {
    "huang2016": (
        "Huang et al. 2016",
        "G. Huang, Y. Sun, Z. Liu, D. Sedra and K. Q. Weinberger, *Deep Networks with Stochastic "
        "Depth*, ECCV 2016: residual networks trained with linearly decaying survival err less and "
        "train faster, and can be made deeper.",
    ),
    "hayou2021": (
        "Hayou & Ayed 2021",
        "S. Hayou and F. Ayed, *Regularization in ResNet with Stochastic Depth*, NeurIPS 2021: "
        "what random depth adds to the loss, how gradients grow under it, when its noise is "
        "Gaussian, and how to spend a budget on blocks.",
    ),
    "hayou2023": (
        "Hayou & Yang 2023, with gates",
        "S. Hayou and G. Yang, *Width and Depth Limits Commute in Residual Networks*, ICML 2023: "
        "two inputs of a wide and deep network follow one flow. The paper has no gates; with them "
        "it matters whether samples share a draw, [as derived here](../api/theory.md).",
    ),
    "marion2022": (
        "Marion et al. 2022",
        "P. Marion, A. Fermanian, G. Biau and J.-P. Vert, *Scaling ResNets in the Large-Depth "
        "Regime*, 2022: the factor on the branches decides whether a deep network explodes, is "
        "stable, or does nothing.",
    ),
    "elhoushi2026": (
        "Elhoushi et al. 2026",
        "M. Elhoushi et al., *Don't Drop Dropout*, ICML 2026: layer dropout that rises with depth "
        "and falls with time leaves a language model that can be cut short. What is compared is "
        "its published replication on digits and on Tiny Shakespeare.",
    ),
    "backbone": (
        "A backbone on little data",
        "Stochastic depth in a ResNet-50 trained on a few thousand images, beside dropout and "
        "other regularisers. [The recipe](../backbone.md).",
    ),
}

VERDICTS = ("held", "not held", "cannot tell", "not measured")
WORDS = ("held", "did not hold", "undecided", "not measured")
RANK = {verdict: rank for rank, verdict in enumerate(VERDICTS)}
COLOURS = [LIGHT[f"--series-{number}"] for number in (3, 2, 5, 0)]
HOW_JUDGED = "± is one standard error. [How artefacts are run and claims judged](../reproduce.md)."


def results(paper: str) -> list[dict[str, Any]]:
    """Read the committed results of a paper, in the order of their names."""
    files = sorted((RESULTS / paper).glob("*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def verdicts(claims: list[dict[str, Any]]) -> list[int]:
    """Count the claims of each verdict."""
    counts = Counter(claim["verdict"] for claim in claims)
    return [counts[verdict] for verdict in VERDICTS]


def claims_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All claims of some results."""
    return [claim for record in records for claim in record["claims"]]


def is_arithmetic(claim: dict[str, Any]) -> bool:
    """Whether a claim was computed, from a schedule or a closed form, and rests on no sample."""
    return claim["measured"] is not None and claim["n"] is None


def summary_table(prefix: str = "docs/papers/") -> str:
    """Claims of every paper by verdict."""
    lines = [
        "| paper | figures and tables | claims | of them arithmetic | held | not held "
        "| cannot tell | not measured |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for paper, (title, _) in PAPERS.items():
        if records := results(paper):
            claims = claims_of(records)
            numbers = (
                len(records), len(claims), sum(map(is_arithmetic, claims)), *verdicts(claims)
            )  # fmt: skip
            lines.append(f"| [{title}]({prefix}{paper}.md) | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def page(paper: str) -> str:
    """The page of a paper."""
    title, about = PAPERS[paper]
    records = results(paper)
    summary = verdict(paper, records)
    picture = f"![{summary.partition('**')[2].partition('**')[0]}](../assets/claims-{paper}.svg)"
    parts = [f"# {title}", summary, picture, about, HOW_JUDGED, overview(records)]
    return "\n\n".join(filter(None, [*parts, *map(section, records)])) + "\n"


def verdict(paper: str, records: list[dict[str, Any]]) -> str:
    """What came out, arithmetic apart, and what there is no result for."""
    claims = claims_of(records)
    measured = [claim for claim in claims if not is_arithmetic(claim)]
    computed = [claim for claim in claims if is_arithmetic(claim)]
    sentence = f"**Of {len(measured)} empirical claims {said(measured)}.**"
    exact = f"Of {len(computed)} that are arithmetic, {said(computed)}." if computed else ""
    return " ".join(filter(None, [sentence, exact, missing(paper, records)]))


def said(claims: list[dict[str, Any]]) -> str:
    """The verdicts of claims in words."""
    counts = zip(verdicts(claims), WORDS, strict=True)
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def picture(paper: str) -> str:
    """The verdicts of each figure and table, as a drawing."""
    rows = [
        (record["artefact"].partition("/")[2], verdict, count)
        for record in results(paper)
        for verdict, count in zip(VERDICTS, verdicts(record["claims"]), strict=True)
    ]
    table = pl.DataFrame(rows, schema=["artefact", "verdict", "claims"], orient="row")
    chart = (
        alt.Chart(table.with_columns(pl.col("verdict").replace_strict(RANK).alias("rank")))
        .mark_bar()
        .encode(
            y=alt.Y("artefact:N", title=None),
            x=alt.X("claims:Q", title="claims", axis=alt.Axis(format="d", tickMinStep=1)),
            color=alt.Color(
                "verdict:N", sort=list(VERDICTS), scale=alt.Scale(domain=VERDICTS, range=COLOURS)
            ),
            order="rank:Q",
        )
    )
    caption = "Claims of each figure and table, by verdict."
    return Figure(paper, PAPERS[paper][0], caption, caption, chart).svg()


def overview(records: list[dict[str, Any]]) -> str:
    """One row per artefact."""
    lines = [
        "| figure or table | run at | held | not held | cannot tell | not measured |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for record in records:
        name = record["artefact"].partition("/")[2]
        counts = " | ".join(map(str, verdicts(record["claims"])))
        shows = title_of(record["artefact"])
        size = ": ".join(filter(None, [record["profile"], trained(record["settings"])]))
        lines.append(f"| [{shows}](#{name}) | {size} | {counts} |")
    return "\n".join(lines)


def missing(paper: str, records: list[dict[str, Any]]) -> str:
    """The artefacts whose results are not committed."""
    there = {record["artefact"].partition("/")[2] for record in records}
    known = {name.partition("/")[2] for name in titles() if name.startswith(f"{paper}/")}
    if not known - there:
        return ""
    names = ", ".join(f"`{name}`" for name in sorted(known - there))
    return f"{len(known - there)} of {len(known)} artefacts have no committed result: {names}."


def section(record: dict[str, Any]) -> str:
    """One artefact: its claims, those that did not hold first, and its notes."""
    name, versions = record["artefact"].partition("/")[2], record["versions"]
    rows = sorted(
        record["claims"], key=lambda c: (c["verdict"] == "held", VERDICTS.index(c["verdict"]))
    )
    claims = [
        "| claim | paper | ours | difference | tolerance | n | verdict |",
        "|---|---:|---:|---:|---:|---:|---|",
        *map(claim_row, rows),
    ]
    origin = (
        f"{record['source']}. `sdepth reproduce {record['artefact']} --profile "
        f"{record['profile']} --seed {record['seed']}`, on "
        f"{record['hardware']['cpu']}, torch {versions['torch']}."
    )
    notes = "\n".join(f"- {note}" for note in record["notes"])
    size = trained(record["settings"]) if record["profile"] != "paper" else ""
    ran = f" (run with {size})" if size else ""
    title = f"## {title_of(record['artefact'])}{ran} {{ #{name} }}"
    return "\n\n".join(filter(None, [title, origin, "\n".join(claims), notes]))


def trained(settings: dict[str, Any]) -> str:
    """Return which networks were trained on how many images; nothing where none was."""
    protocol = settings.get("protocol") or next(iter(settings.get("protocols", [])), None)
    if protocol:
        images = f"{protocol['data']['limit']:,} images"
        return f"{protocol['depth']} blocks of width {protocol['width']}, {images}"
    study = settings.get("experiment", settings)
    fields = study.get("fields", {})
    if "data.limit" not in fields:
        return ""
    name = "model.init_args.depth"
    variants = study.get("variants", {}).values()
    depths = sorted({variant.get(name, fields.get(name)) for variant in variants or [fields]})
    side = fields["data.image_size"]
    images = f"{fields['data.limit']:,} images at {side}×{side}"
    return f"ResNet-{' and '.join(map(str, depths))}, {images}"


def claim_row(claim: dict[str, Any]) -> str:
    """One claim beside its measurement."""
    measured = difference = "–"
    if claim["measured"] is not None:
        error = claim["standard_error"]
        measured = f"{claim['measured']:.4g}" + (f" ± {error:.2g}" if error else "")
        difference = f"{claim['measured'] - claim['expected']:+.2g}"
    verdict = claim["verdict"]
    cells = (
        claim["name"].replace("|", "\\|"),
        f"{claim['relation']} {claim['expected']:.5g}",
        measured,
        difference,
        f"{claim['tolerance']:.3g}",
        "" if claim["n"] is None else f"{claim['n']:,}",
        verdict if verdict == "held" else f"**{verdict}**",
    )
    return f"| {' | '.join(cells)} |"


def title_of(artefact: str) -> str:
    """The title of an artefact, without its full stop."""
    return titles()[artefact].rstrip(".")


def main() -> int:
    """Rewrite or check."""
    pages = {PAGES / f"{paper}.md": page(paper) for paper in PAPERS if results(paper)}
    if "--check" in sys.argv[1:]:
        return int(
            any(not file.exists() or file.read_text() != text for file, text in pages.items())
        )
    PAGES.mkdir(exist_ok=True)
    for file, text in pages.items():
        file.write_text(text, encoding="utf-8")
        drawn = PICTURES / f"claims-{file.stem}.svg"
        drawn.write_text(picture(file.stem), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
