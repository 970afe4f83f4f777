"""The source of randomness of gates."""

import hashlib

import torch
from torch import Generator

from .._checks import instance, seed_or_step


def stream(seed: int, step: int, rank: int | None = None, *, purpose: str = "") -> Generator:
    """Return the generator of one step, which depends only on the arguments.

    The arguments are hashed, so that neighbouring seeds, steps and ranks give unrelated
    streams. Every call returns a generator in its initial state: a step can be replayed at
    any time, and resuming at step t needs only t.

    Args:
        seed: the run's seed, at least 0.
        step: number of the training step, at least 0.
        rank: number of the process for gates that differ between processes; None for
            gates that all processes share.
        purpose: what is drawn, if not gates: the weights of a network, say, are unrelated to
            the gates of its first step, even with the same seed.

    Returns:
        A CPU generator.

    Raises:
        InvalidArgument: a negative or non-integer argument.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> first = torch.rand(3, generator=sd.gates.stream(seed=1, step=7))
        >>> again = torch.rand(3, generator=sd.gates.stream(seed=1, step=7))
        >>> torch.equal(first, again)
        True
    """
    process = None if rank is None else seed_or_step("rank", rank)
    key: tuple[object, ...] = (
        seed_or_step("seed", seed),
        seed_or_step("step", step),
        process,
        # Gates keep the streams they have always had.
        *([purpose] if instance("purpose", purpose, str, "text") else []),
    )
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    # The high bit stays clear: manual_seed takes signed 64-bit numbers.
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little") >> 1)
