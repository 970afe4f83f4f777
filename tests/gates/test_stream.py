from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stochastic_depth as sd

number = st.integers(0, 2**40)


def uniform(*key, n=4):
    return torch.rand(n, generator=sd.gates.stream(*key))


@given(number, number, st.none() | st.integers(0, 2**31 - 1))
def test_a_stream_is_a_function_of_its_arguments(seed, step, rank):
    assert torch.equal(uniform(seed, step, rank), uniform(seed, step, rank))


def test_streams_of_different_arguments_differ():
    keys = [*product(range(4), range(4), [None, 0, 1, 2])]
    assert len({tuple(uniform(*key).tolist()) for key in keys}) == len(keys)


def test_neighbouring_streams_are_uncorrelated():
    # First number of 20,000 neighbouring steps, lag-1 correlation; 5 standard errors,
    # false-alarm rate 6e-7. The same over seeds and ranks.
    n = 20_000
    for keys in (
        [(0, i) for i in range(n)],
        [(i, 0) for i in range(n)],
        [(0, 0, i) for i in range(n)],
    ):
        first = torch.cat([uniform(*key, n=1) for key in keys]).double() - 0.5
        correlation = (first[1:] * first[:-1]).mean() * 12
        assert abs(float(correlation)) < 5 / n**0.5
        assert abs(float(first.mean())) < 5 * (1 / 12) ** 0.5 / n**0.5


def test_the_global_generator_is_neither_read_nor_moved():
    before = torch.get_rng_state()
    first = uniform(1, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert torch.equal(uniform(1, 2), first)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((-1, 0), "seed must be at least 0"),
        ((0, -1), "step must be at least 0"),
        ((0, 0, -1), "rank must be at least 0"),
        ((0.5, 0), "seed must be an integer"),
        ((0, True), "step must be an integer"),
    ],
)
def test_arguments_are_counts(key, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        sd.gates.stream(*key)


def test_integers_of_any_type_name_the_same_stream():
    expected = uniform(1, 2, 3)
    for kind in (np.int64, torch.tensor):
        assert torch.equal(uniform(kind(1), kind(2), kind(3)), expected)


def test_streams_are_told_apart_by_many_bits():
    # 3000 streams: chance of two equal initial states 5e6 / 2^63 if all bits of the hash
    # are used, and near 1e-3 with 32 of them; seeds are compared, not draws.
    seeds = {sd.gates.stream(0, step).initial_seed() for step in range(3000)}
    assert len(seeds) == 3000
    assert max(seeds).bit_length() == 63


def test_gates_have_the_streams_they_have_always_had():
    # First integers of the streams at the time when purposes came: a run can be resumed.
    def first(*key):
        return torch.randint(2**31, (2,), generator=sd.gates.stream(*key)).tolist()

    assert [first(0, 0), first(1, 2), first(1, 2, 3)] == [
        [1298455966, 2067837009],
        [1459931773, 633000149],
        [1061849401, 256844982],
    ]


def test_streams_of_different_purposes_differ():
    purposes = ["", "weights", "images", "weights "]
    streams = [sd.gates.stream(1, 2, purpose=purpose) for purpose in purposes]
    assert len({stream.initial_seed() for stream in streams}) == len(purposes)
    assert sd.gates.stream(1, 2, purpose="").initial_seed() == sd.gates.stream(1, 2).initial_seed()
    again = sd.gates.stream(1, 2, purpose="weights")
    assert again.initial_seed() == streams[1].initial_seed()


def test_a_stream_is_on_the_cpu_under_another_default_device():
    expected = uniform(1, 2)
    with torch.device("meta"):
        generator = sd.gates.stream(1, 2)
    assert torch.equal(torch.rand(4, generator=generator), expected)
