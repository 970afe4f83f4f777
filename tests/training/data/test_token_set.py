"""Sequences of tokens: what they hold, and their batches."""

import pytest
import torch

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import Batches, TokenSet

TEXT = torch.arange(50, dtype=torch.uint8)


def test_packed_sequences_hold_every_token_once_and_are_followed_by_the_next():
    packed = TokenSet.packed(TEXT, length=8)
    rows = torch.arange(len(packed))
    inputs, targets = packed.inputs(rows), packed.targets(rows)
    assert inputs.flatten().tolist() == list(range(48))
    assert targets.flatten().tolist() == list(range(1, 49))
    assert inputs.dtype == targets.dtype == torch.int64


@pytest.mark.parametrize(("size", "number"), [(0, 0), (8, 0), (9, 1), (16, 1), (17, 2)])
def test_a_sequence_needs_a_token_after_it(size, number):
    assert len(TokenSet.packed(TEXT[:size], length=8)) == number


def test_spread_sequences_reach_from_the_first_token_to_the_last():
    spread = TokenSet.spread(TEXT, length=8, number=3)
    rows = torch.arange(3)
    assert spread.inputs(rows)[:, 0].tolist() == [0, 20, 41]
    assert spread.targets(rows)[-1, -1] == 49


def test_a_subset_is_in_order():
    assert TokenSet.packed(TEXT, 8).subset(torch.tensor([4, 1])).starts.tolist() == [8, 32]


def test_batches_of_an_epoch_have_every_sequence_once_whatever_the_layout_of_images():
    batches = Batches(TokenSet.packed(TEXT, 8), 4, seed=3, channels_last=True)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(inputs.flatten().tolist()) == list(range(48))
    assert torch.equal(targets, inputs + 1)
    assert inputs[:, 0].tolist() != sorted(inputs[:, 0].tolist())


@pytest.mark.parametrize(
    ("tokens", "starts", "message"),
    [
        (torch.zeros(4), torch.zeros(1).long(), "tokens must be a vector of integers"),
        (TEXT[:9], torch.tensor([1]), "starts must be from 0 to 0"),
        (TEXT[:9], torch.tensor([-1]), "starts must be from 0 to 0"),
    ],
)
def test_refusals(tokens, starts, message):
    with pytest.raises(InvalidArgument, match=message):
        TokenSet(tokens, starts, 8)
