"""Sequences of tokens in memory, cut from one long text."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, Integer
from torch import Tensor

from ..._checks import count, fail


@dataclass(frozen=True, eq=False)
class TokenSet:
    """Windows of a text, each the input of a language model; its target is one token later.

        input_i = tokens[s_i : s_i + T],   target_i = tokens[s_i + 1 : s_i + T + 1]

    Args:
        tokens: the text (M,), of any integer type.
        starts: where each window begins, (N,), int64, in 0..M-T-1.
        length: T, at least 1.

    Raises:
        InvalidArgument: shapes or types that do not fit, or a window that leaves the text.

    Example:
        >>> text = TokenSet.packed(torch.arange(10), length=3)
        >>> text.inputs(torch.tensor([0, 2])).tolist()
        [[0, 1, 2], [6, 7, 8]]
        >>> text.targets(torch.tensor([0, 2])).tolist()
        [[1, 2, 3], [7, 8, 9]]
    """

    tokens: Integer[Tensor, " M"]
    starts: Int[Tensor, " N"]
    length: int

    def __post_init__(self) -> None:
        count("length", self.length)
        for name in ("tokens", "starts"):
            given: Tensor = getattr(self, name)
            if given.ndim != 1 or given.is_floating_point():
                raise fail(name, "a vector of integers", f"{given.dtype} {tuple(given.shape)}")
        last = len(self.tokens) - self.length - 1
        if len(self.starts) and not 0 <= int(self.starts.min()) <= int(self.starts.max()) <= last:
            raise fail("starts", f"from 0 to {last}", self.starts.tolist())

    @classmethod
    def packed(cls, tokens: Integer[Tensor, " M"], length: int) -> "TokenSet":
        """Cut a text into sequences that follow each other; what is left at the end is dropped."""
        starts = torch.arange(0, max(len(tokens) - count("length", length), 0), length)
        return cls(tokens, starts, length)

    @classmethod
    def spread(cls, tokens: Integer[Tensor, " M"], length: int, number: int) -> "TokenSet":
        """Take `number` sequences at equal distances, from the first token to the last."""
        last = len(tokens) - length - 1
        starts = torch.linspace(0, last, number, dtype=torch.float64).long()
        return cls(tokens, starts, length)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the tokens are."""
        return self.tokens.device

    def inputs(self, rows: Int[Tensor, " n"]) -> Int[Tensor, "n T"]:
        """Return the sequences of `rows`."""
        return self._windows(self.starts[rows])

    def targets(self, rows: Int[Tensor, " n"]) -> Int[Tensor, "n T"]:
        """Return the token that follows each one of `inputs`."""
        return self._windows(self.starts[rows] + 1)

    def subset(self, rows: Int[Tensor, " n"]) -> "TokenSet":
        """Return the sequences of `rows`, in ascending order of their place in this set."""
        return replace(self, starts=self.starts[rows.sort().values])

    def to(self, device: torch.device | str) -> "TokenSet":
        """Return the set on another device, where its batches are then made."""
        return TokenSet(self.tokens.to(device), self.starts.to(device), self.length)

    def _windows(self, starts: Tensor) -> Tensor:
        offsets = torch.arange(self.length, device=self.device)
        return self.tokens[starts[:, None] + offsets].long()
