import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data._split import hold_out


@given(st.data())
def test_parts_are_disjoint_and_as_large_as_asked_for(data):
    size = data.draw(st.integers(1, 300))
    validation = data.draw(st.integers(0, size - 1))
    limit = data.draw(st.none() | st.integers(1, size - validation))
    train, held_out = (rows.tolist() for rows in hold_out(size, validation, limit, seed=4))
    assert len(train) == (size - validation if limit is None else limit)
    assert len(held_out) == validation
    assert len({*train, *held_out}) == len(train) + len(held_out)
    assert {*train, *held_out} <= set(range(size))


def test_validation_is_the_end_of_a_seeded_permutation():
    order = torch.randperm(50, generator=torch.Generator().manual_seed(8))
    train, held_out = hold_out(50, validation=5, limit=None, seed=8)
    assert torch.equal(torch.cat([train, held_out]), order)


def test_a_limit_moves_neither_the_validation_images_nor_the_beginning():
    train, held_out = hold_out(100, validation=20, limit=None, seed=1)
    fewer, same = hold_out(100, validation=20, limit=30, seed=1)
    assert torch.equal(same, held_out)
    assert torch.equal(fewer, train[:30])


def test_more_than_there_is_is_refused():
    with pytest.raises(
        InvalidArgument, match=r"data\.validation must be less than the 50 training"
    ):
        hold_out(50, validation=50, limit=None, seed=0)
    with pytest.raises(
        InvalidArgument, match=r"data\.limit must be at most 45, the images there are"
    ):
        hold_out(50, validation=5, limit=46, seed=0)
