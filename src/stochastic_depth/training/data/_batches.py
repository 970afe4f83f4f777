"""Batches that depend on (seed, epoch, batch), on who takes part, and on nothing else."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor

from ..._checks import count, fail, one_of, seed_or_step
from ._augment import Augmentation
from ._photographs import Photographs
from ._splits import Examples
from ._streams import PhotoStream
from ._views import Mixing, seed_of

Batch = tuple[Shaped[Tensor, "N *input"], Int[Tensor, "N *target"] | Float[Tensor, "N K"]]


class Batches:
    """Iterate over examples, one epoch at a time.

    Batch b of epoch e is a function of (seed, e, b): the global generator is neither
    read nor moved, and any batch can be made again at any time. Every example appears
    once per epoch; the last batch of an epoch may be smaller (Huang et al. keep it).

    Iterating to the end moves on to the next epoch. Breaking off and iterating again
    starts the same epoch anew. `state_dict` tells which batch comes next, also in
    mid-epoch; after `load_state_dict` the next iteration begins there.

    Batches are made where the examples are: move them with `to` first. Those of photographs
    are read ahead of time by worker processes, in `walk` and when iterating.

    Of several processes that train together, each has its share of every batch: together
    they have the examples that one process alone would have. Shares differ by one at
    most.

    Args:
        examples: images, photographs on the disk, or sequences of tokens.
        batch_size: examples per batch, at least 1.
        seed: of the order and of the augmentation, at least 0.
        augmentation: applied to normalized images; called with the images (N, C, H, W)
            and the CPU generator of the batch. None leaves them as they are. Photographs have
            their own, which `augmented` asks for.
        augmented: whether photographs are seen as training sees them, else by their centres.
        mixing: mixes the images of a batch, and their labels to shares of classes (N, K).
        shuffle: whether each epoch has its own order.
        channels_last: memory order of the images, else contiguous.
        rank: number of this process, from 0 to `world` - 1.
        world: number of processes, at most the examples of the smallest batch. With several, the
            augmentation is drawn by each for itself.

    Raises:
        InvalidArgument: an argument out of range.

    Example:
        >>> from stochastic_depth.training.data import ImageSet
        >>> images = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
        >>> batches = Batches(ImageSet(images, torch.arange(5)), batch_size=2, seed=0)
        >>> [len(y) for x, y in batches]
        [2, 2, 1]
        >>> batches.state_dict()
        {'epoch': 1, 'batch': 0}
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        *,
        augmentation: Augmentation | None = None,
        augmented: bool = False,
        mixing: Mixing | None = None,
        shuffle: bool = True,
        channels_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.examples = examples
        self.batch_size = count("batch_size", batch_size)
        self.seed = seed_or_step("seed", seed)
        self.augmentation = augmentation
        self.augmented = augmented
        self.mixing = mixing
        self.shuffle = shuffle
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.world = count("world", world)
        self.rank = one_of("rank", rank, range(world))
        self._check_shares()
        self.epoch = 0
        self._next = 0  # batch that `state_dict` names
        self._start = 0  # batch at which the next iteration begins
        self._order: tuple[int, Tensor] | None = None  # the last epoch asked for

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def batch(self, epoch: int, index: int) -> Batch:
        """Make one batch.

        Args:
            epoch: at least 0.
            index: of the batch, from 0 to len(self) - 1.

        Returns:
            Images (n, C, H, W), float32, and labels (n,), int64, or mixed ones (n, K); or
            sequences (n, T) and the tokens that follow, (n, T), int64. n is `batch_size`, or what
            is left in the last batch, divided by the number of processes.
        """
        if not 0 <= index < len(self):
            raise fail("index", f"of one of the {len(self)} batches", index)
        return next(self._made(epoch, range(index, index + 1)))

    def walk(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from batch `start` on, each as `batch` makes it."""
        return self._made(epoch, range(start, len(self)))

    def _made(self, epoch: int, indices: range) -> Iterator[Batch]:
        shares = (self._share(epoch, index) for index in indices)
        if isinstance(self.examples, Photographs):
            draws = (self.seed, epoch) if self.augmented else None
            read = self.examples.batches(shares, draws, here=len(indices) == 1)
        else:
            read = ((self.examples.inputs(rows), self.examples.targets(rows)) for rows in shares)
        for index, (x, y) in zip(indices, read, strict=True):
            yield self._finished(x, y, epoch, index)

    def _share(self, epoch: int, index: int) -> Tensor:
        """Return the rows of a batch that are those of this process."""
        rows = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        return rows.tensor_split(self.world)[self.rank] if self.world > 1 else rows

    def _finished(self, x: Tensor, y: Tensor, epoch: int, index: int) -> Batch:
        """Do to a batch what is done to all of it at once."""
        share = (self.rank, self.world) if self.world > 1 else ()
        if self.augmentation is not None:
            x = self.augmentation(x, _stream(self.seed, epoch, index, *share))
        layout = self.memory_format if x.ndim == 4 else torch.contiguous_format
        x = x.contiguous(memory_format=layout)
        if self.mixing is None:
            return x, y
        return self.mixing(x, y, _stream(self.seed, epoch, index, "mixing", *share))

    def sizes(self, index: int) -> list[int]:
        """Return how many examples of batch `index` each process has."""
        number = min(self.batch_size, len(self.examples) - index * self.batch_size)
        return even(number, self.world)

    def order(self, epoch: int) -> Int[Tensor, " N"]:
        """Return the rows of the examples in the order of an epoch."""
        if self._order is None or self._order[0] != epoch:
            rows = torch.arange(len(self.examples))
            on_disk = isinstance(self.examples, Photographs)
            if self.shuffle and not isinstance(self.examples, PhotoStream):  # it shuffles itself
                rows = torch.randperm(len(rows), generator=_stream(self.seed, epoch))
            self._order = (epoch, rows if on_disk else rows.to(self.examples.device))
        return self._order[1]

    def __iter__(self) -> Iterator[Batch]:
        epoch, start, self._start = self.epoch, self._start, 0
        for index, batch in enumerate(self.walk(epoch, start), start):
            last = index + 1 == len(self)
            # Before the batch leaves: a checkpoint taken while it is in use names the next.
            self.epoch, self._next = (epoch + 1, 0) if last else (epoch, index + 1)
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be epoch `epoch`; a loaded place in that epoch is kept."""
        if count("epoch", epoch, least=0) != self.epoch:
            self.epoch, self._next, self._start = epoch, 0, 0

    def _check_shares(self) -> None:
        smallest = len(self.examples) % self.batch_size or self.batch_size
        if len(self.examples) and smallest < self.world:
            requirement = f"at most {smallest}, the examples of the smallest batch"
            remedy = "Change batch_size, or the number of examples."
            raise fail("processes", requirement, self.world, remedy)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and index of the batch that comes next."""
        return {"epoch": self.epoch, "batch": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin the next iteration at the batch that `state` names."""
        if not 0 <= state["batch"] < max(len(self), 1):
            raise fail("state['batch']", f"one of the {len(self)} batches", state["batch"])
        self.epoch, self._next = count("state['epoch']", state["epoch"], least=0), state["batch"]
        self._start = self._next


def even(number: int, parts: int) -> list[int]:
    """Return the sizes of parts as equal as can be, larger ones first, as `tensor_split` does.

    Example:
        >>> even(7, 3)
        [3, 2, 2]
    """
    whole, more = divmod(number, parts)
    return [whole + (part < more) for part in range(parts)]


def _stream(seed: int, epoch: int, index: int | None = None, *more: object) -> Generator:
    """Return the generator of one batch, or of the order of an epoch (index None)."""
    return torch.Generator().manual_seed(seed_of(seed, epoch, index, *more))
