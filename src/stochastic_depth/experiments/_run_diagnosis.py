"""What each block of a trained network does, from its run directory."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from .. import gates, theory, training
from .._errors import Unsupported
from ..models import ScaledResNet, VanillaResNet
from ..surgery import Block, find_blocks, gated
from ..surgery._hidden_states import block_gradients
from ..training.data import Batches, Examples, Splits

if TYPE_CHECKING:  # it imports Lightning, for which reports of runs need not wait
    from ..training import Restored


@dataclass(frozen=True, eq=False)
class RunDiagnosis:
    """The diagnosis of a run after some step of its training.

    Attributes:
        restored: the network and its run.
        images: which images it used: test, validation or training.
        samples: how many of them.
        masks: number of gate vectors drawn.
        blocks: one record per gate.
        theory: the diagnosis of the network.
        growth: of the squared gradient norm, from the output back to the first block.
        predicted_growth: its logarithm by Proposition 1 at initialisation, shape (L+1,), for
            `VanillaResNet`, and for `ScaledResNet` of independent weights; None for others.
    """

    restored: "Restored"
    images: str
    samples: int
    masks: int
    blocks: tuple[Block, ...]
    theory: theory.Diagnosis
    growth: theory.Growth
    predicted_growth: Float[Tensor, " L1"] | None


def diagnose(
    path: str | Path,
    *,
    samples: int = 64,
    masks: int = 200,
    seed: int = 0,
    data_dir: str | None = None,
) -> RunDiagnosis:
    """Diagnose the network of a run.

    It uses test images and evaluation mode, with running statistics and the trained weights,
    not their moving average.

    Args:
        path: a run directory, for its newest checkpoint, or one of its checkpoints.
        samples: images, at least 2.
        masks: gate vectors to draw, at least 20.
        seed: of the choice of images and of the gates.
        data_dir: where the images are now, if they have moved.

    Raises:
        CheckpointError: no run or no checkpoint there.
        InvalidArgument: too few masks.
        Unsupported: a network that cannot be analysed; the message says why.
    """
    restored = training.restore(path, data_dir)
    model, splits = restored.prepared.model, restored.prepared.splits
    if splits.is_text:
        raise Unsupported(
            f"{path} must be a run on images; it is a language model, whose inputs are whole "
            "numbers without derivatives. Evaluate it with single blocks off instead."
        )
    name, images = _held_out(splits)
    x, y = Batches(images, samples, seed).batch(0, 0)
    blocks, law = find_blocks(model), _law(restored)
    found = theory.diagnose(
        gated(model), x, y, cross_entropy, law, masks=masks, generator=gates.stream(seed, 0)
    )
    drawn = law.sample(len(x), generator=gates.stream(seed, 1))
    growth = theory.measured_growth(block_gradients(model, x, y, cross_entropy, drawn))
    predicted = _predicted(restored, law)
    return RunDiagnosis(restored, name, len(x), masks, blocks, found, growth, predicted)


def _law(restored: "Restored") -> gates.Law:
    prepared = restored.prepared
    if prepared.handle is None:
        return gates.Deterministic(torch.ones(len(prepared.blocks)))
    return prepared.handle.law


def _held_out(splits: Splits) -> tuple[str, Examples]:
    for name in ("test", "validation"):
        images: Examples = getattr(splits, name)
        if len(images):
            return name, images
    return "training", splits.train


def _predicted(restored: "Restored", law: gates.Law) -> Tensor | None:
    """Return Proposition 1 for nets without normalisation and weights independent over depth."""
    config, model = restored.prepared.config.model, restored.prepared.model
    scale = getattr(model.blocks[0], "scale", 1.0) if hasattr(model, "blocks") else 1.0  # type: ignore[index]
    if isinstance(model, VanillaResNet):
        return theory.predicted_growth(law, scale)
    independent = config.init_args.get("init", "gaussian") in ("gaussian", "uniform")
    if isinstance(model, ScaledResNet) and independent:
        return theory.predicted_growth(law, scale / math.sqrt(2))  # weights of half He's variance
    return None
