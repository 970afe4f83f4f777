"""Size of a page, and the time until it answers: 8 runs of 500 epochs.

python benchmarks/page.py    # writes benchmarks/results/page.json; needs Chromium and playwright
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from stochastic_depth._provenance import hardware, versions
from stochastic_depth.experiments import Comparison
from stochastic_depth.reports import write_page

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.experiments.records import write_comparison  # noqa: E402  # lies beside the package

EPOCHS, SEEDS, BLOCKS, ROUNDS = 500, (0, 1, 2, 3), 54, 7
PHONE, DESK = (400, 800), (1280, 900)
# The first chart, and every other in view, is one that answers the pointer.
ANSWERS = """() => [...document.querySelectorAll('.chart')]
  .filter((chart, i) => i === 0 || chart.getBoundingClientRect().top < innerHeight)
  .every(chart => chart.classList.contains('vega-embed'))"""


def seconds_to_interactive(browser: Browser, page: Path, size: tuple[int, int]) -> float:
    """Return the seconds until every chart in view, the first at least, answers."""
    tab = browser.new_page(viewport={"width": size[0], "height": size[1]})
    start = time.perf_counter()
    tab.goto(page.as_uri())
    tab.wait_for_function(ANSWERS)
    seconds = time.perf_counter() - start
    tab.close()
    return seconds


def main() -> None:
    """Write a page, open it several times, write the figures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        top = write_comparison(Path(folder), seeds=SEEDS, epochs=EPOCHS, num_blocks=BLOCKS)
        start = time.perf_counter()
        page = write_page(Comparison.read(top), top / "report.html")
        written = time.perf_counter() - start
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        times = {
            name: [seconds_to_interactive(browser, page, size) for _ in range(ROUNDS)]
            for name, size in (("desk", DESK), ("phone", PHONE))
        }
        record = {
            "runs": 2 * len(SEEDS),
            "epochs": EPOCHS,
            "blocks": BLOCKS,
            "bytes": page.stat().st_size,
            "seconds_to_write": round(written, 2),
            "seconds_to_interactive": {
                name: {
                    "median": round(statistics.median(values), 3),
                    "largest": round(max(values), 3),
                    "n": ROUNDS,
                }
                for name, values in times.items()
            },
            "browser": browser.version,
            "hardware": hardware(),
            "versions": versions("altair", "vl-convert-python"),
        }
    target = ROOT / "benchmarks" / "results" / "page.json"
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(target.read_text())


if __name__ == "__main__":
    main()
