"""Photographs of any size that stay on the disk: each is decoded when its turn comes.

A share of a batch is read, cut and augmented by one of several worker processes, ahead of
the step that needs it. The draws of an image are a function of (seed, epoch, image): neither
the number of workers, nor where an epoch was resumed, changes a pixel.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..._errors import DataError
from ._augment import seeded
from ._data_config import Corrupt
from ._image_set import Normalization, NormalizationKind, fit_normalization
from ._records import Pictures
from ._views import View, seed_of

MOST_WORKERS = 8  # unless asked for: more were never seen to feed a GPU faster
MEASURED = 512  # images whose statistics stand for those of all
AHEAD = 2  # batches that a worker prepares before they are asked for
log = logging.getLogger(__name__)

Share = tuple[tuple[int, int] | None, list[Any], list[int]]
"""(seed, epoch) of the draws, None without any; what to open; the labels."""
Seen = tuple[Shaped[Tensor, "n C H W"], Int[Tensor, " n"], tuple[str, ...]]
"""Pixels, labels, and what is wrong with those that could not be read."""


class Reader(Dataset[Seen]):
    """What a worker process does: from a share of a batch to pixels.

    Args:
        pictures: to open.
        view: what is seen of each.
        whole: whether an image that cannot be read is replaced by the next one of its share
            that can, so that no batch shrinks; else it is left out.
    """

    def __init__(self, pictures: Pictures, view: View, whole: bool) -> None:
        self.pictures = pictures
        self.view = view
        self.whole = whole

    def __getitem__(self, share: Share) -> Seen:
        """Return the pixels and the labels of a share."""
        draws, items, labels = share
        wrong: list[str] = []
        seen = [self._seen(draws, item, wrong) for item in items]
        good = [place for place, pixels in enumerate(seen) if pixels is not None]
        if not good:
            return torch.empty(0), torch.empty(0), tuple(wrong)
        if self.whole:
            good = [
                min((g for g in good if g >= place), default=good[0]) for place in range(len(seen))
            ]
        pixels = torch.stack([seen[place] for place in good])  # type: ignore[misc]
        chosen = torch.tensor([labels[place] for place in good], dtype=torch.int64)
        return pixels.permute(0, 3, 1, 2), chosen, tuple(wrong)

    def _seen(self, draws: tuple[int, int] | None, item: Any, wrong: list[str]) -> Tensor | None:
        try:
            image = self.pictures.open(item).convert("RGB")
        except Exception as error:  # Pillow's decoders raise a dozen unrelated classes
            wrong.append(_trouble(self.pictures.where(item), error))
            return None
        if draws is None:
            return self.view(image)
        number = item if isinstance(item, int) else item[0]
        with seeded(seed_of("image", *draws, number)):
            return self.view(image)


def _trouble(where: str, error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    return f"{where} must be an image; it is corrupt ({error})."


@dataclass(frozen=True, eq=False)
class Photographs:
    """Photographs and labels of one split, opened in any order.

    Args:
        pictures: all that the split was drawn from.
        rows: which of them, (N,), int64.
        labels: (N,), int64.
        centre: what an evaluation sees of each.
        training: what training sees, by draws of its own.
        normalization: what turns pixels into inputs.
        workers: processes that read; None takes one per core, at most 8.
        corrupt: what becomes of an image that cannot be read.
        device: where batches go.
        skipped: what is wrong with the images skipped so far, shared by all parts of a set.
    """

    pictures: Pictures
    rows: Int[Tensor, " N"]
    labels: Int[Tensor, " N"]
    centre: View
    training: View
    normalization: Normalization = field(default_factory=Normalization)
    workers: int | None = None
    corrupt: Corrupt = "stop"
    device: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable
    skipped: dict[str, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of what is seen of a photograph."""
        return (3, self.centre.size, self.centre.size)

    def inputs(self, rows: Int[Tensor, " n"]) -> Float[Tensor, "n C H W"]:
        """Return the centres of `rows`, normalized, read in this process."""
        return next(self.batches([rows], None, here=True))[0]

    def targets(self, rows: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the labels of `rows`."""
        return self.labels[rows.cpu()].to(self.device)

    def subset(self, rows: Int[Tensor, " n"]) -> "Photographs":
        """Return the photographs of `rows`, in ascending order of their place in this set."""
        rows = rows.cpu().sort().values
        return replace(self, rows=self.rows[rows], labels=self.labels[rows])

    def to(self, device: torch.device | str) -> "Photographs":
        """Return the set with its batches on another device."""
        return replace(self, device=torch.device(device))

    def batches(
        self,
        shares: Iterable[Int[Tensor, " n"]],
        draws: tuple[int, int] | None,
        *,
        here: bool = False,
    ) -> Iterator[tuple[Float[Tensor, "n C H W"], Int[Tensor, " n"]]]:
        """Yield inputs and labels of one share of rows after the other.

        Args:
            shares: rows of each, on the CPU; drawn from as workers get ready for more.
            draws: (seed, epoch) of what training sees; None shows the centres.
            here: whether to read in this process.
        """
        opened = (self._share(rows, draws) for rows in shares)
        return self.load(opened, draws is not None, here)

    def load(
        self, shares: Iterable[Share], training: bool, here: bool = False
    ) -> Iterator[tuple[Float[Tensor, "n C H W"], Int[Tensor, " n"]]]:
        """Yield inputs and labels of one share after the other."""
        reader = Reader(self.pictures, self.training if training else self.centre, whole=training)
        pinned = self.device.type == "cuda"
        for pixels, labels, wrong in _loaded(reader, shares, 0 if here else self.processes, pinned):
            self._note(wrong, left=len(pixels))
            x, y = (part.to(self.device, non_blocking=pinned) for part in (pixels, labels))
            yield x if x.is_floating_point() else self.normalization.to(self.device)(x), y

    def _share(self, rows: Tensor, draws: tuple[int, int] | None) -> Share:
        return draws, self.rows[rows].tolist(), self.labels[rows].tolist()

    def _note(self, wrong: tuple[str, ...], left: int) -> None:
        """Stop at what could not be read, or name and count it."""
        if wrong and self.corrupt == "stop":
            raise DataError(f"{wrong[0]} To go on without such images pass data.corrupt skip.")
        for trouble in wrong:
            if trouble not in self.skipped:
                log.warning("Skipped: %s", trouble)
                self.skipped[trouble] = None
        if not left:
            raise DataError(f"A batch must have an image that can be read; {wrong[0]}")

    def measured(self, rows: Int[Tensor, " n"], kind: NormalizationKind) -> Normalization:
        """Return the normalization of a kind, fitted to the centres of `rows`.

        Nothing is read for a kind that measures nothing. Until it is fitted, the set's own only
        divides by 255.
        """
        if kind in ("none", "imagenet"):
            return fit_normalization(torch.zeros(1, 3, 1, 1), kind)
        seen = torch.cat([x for x, _ in self.batches(rows.split(32), None)])
        return fit_normalization(seen * 255, kind)

    @property
    def processes(self) -> int:
        """How many processes read; one that may start none reads by itself."""
        if multiprocessing.current_process().daemon:
            return 0
        if self.workers is not None:
            return self.workers
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return max(1, min(MOST_WORKERS, cores // beside))


def _loaded(reader: Reader, shares: Iterable[Share], workers: int, pinned: bool) -> Iterator[Seen]:
    """Read shares in order, ahead of time where there are workers."""
    if not workers:
        yield from map(reader.__getitem__, shares)
        return
    settings: Mapping[str, Any] = {"num_workers": workers, "prefetch_factor": AHEAD}
    # A generator of its own: the loader draws a seed, and the global one is not to move.
    loader: DataLoader[Seen] = DataLoader(
        reader,
        batch_size=None,
        sampler=shares,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        generator=torch.Generator(),
        **settings,
    )
    try:
        yield from loader
    except RuntimeError as error:  # what torch makes of a worker that was killed
        if "DataLoader worker" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"The processes that read images must stay alive; one has ended ({reason}). Where "
            "memory is short pass a smaller data.workers."
        ) from error


def _as_it_is(seen: Any) -> Any:
    return seen
