"""`sdepth diagnose`: what each block of a trained network does."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._outcome import print_place, terminal, write_json

if TYPE_CHECKING:
    from ..experiments import RunDiagnosis


def diagnose(
    run: Path,
    out: Path | None = None,
    samples: int = 64,
    masks: int = 200,
    seed: int = 0,
    data_dir: str | None = None,
    json: Path | None = None,
) -> int:
    """Show what each block of a trained network does, and what random gates do to it.

    Blocks are ranked by what leaving them out costs, exactly, beside the first-order
    sensitivity; with them stand the information discrepancy, the regulariser, the noise on
    the outputs and its normality, and the growth of the gradient, measured and predicted.

    Example: sdepth diagnose runs/demo/stochastic/seed-0

    Args:
        run: directory of a run, for its newest checkpoint, or a file in its checkpoints.
        out: the page; diagnosis.html in the directory of the run by default.
        samples: test images that everything is measured on.
        masks: gate vectors to draw.
        seed: of the choice of images and of the gates.
        data_dir: folder that holds the images, if they have moved.
        json: also write the figures here.

    Returns:
        0.
    """
    from .. import experiments, reports

    with terminal(stderr=True).status("measuring"):
        found = experiments.diagnose(
            run, samples=samples, masks=masks, seed=seed, data_dir=data_dir
        )
    reports.print_diagnosis(found, terminal())
    page = found.restored.directory / "diagnosis.html" if out is None else out
    reports.write_diagnosis(found, page, shlex.join(["sdepth", *sys.argv[1:]]))
    print_place(page)
    write_json(_record(found), json)
    return 0


def _record(found: "RunDiagnosis") -> dict[str, Any]:
    theory, noise = found.theory, found.theory.noise
    vectors = {
        "survival": theory.law.survival,
        "cost": theory.cost,
        "sensitivities": theory.sensitivities,
        "discrepancy": theory.discrepancy,
        "regularizer": theory.regularizer,
        "ranking": theory.ranking,
        "log_gradient_growth": found.growth.log,
    }
    record: dict[str, Any] = {
        "checkpoint": str(found.restored.checkpoint),
        "step": found.restored.step,
        "images": found.images,
        "samples": found.samples,
        "masks": found.masks,
        "blocks": [str(block) for block in found.blocks],
        "loss": theory.loss,
        "expected_loss": theory.expected_loss._asdict(),
        "second_order_loss": theory.second_order,
        **{name: vector.tolist() for name, vector in vectors.items()},
    }
    if found.predicted_growth is not None:
        record["predicted_log_gradient_growth"] = found.predicted_growth.tolist()
    if noise is not None:
        record["noise"] = {name: value.tolist() for name, value in vars(noise).items()}
    return record
