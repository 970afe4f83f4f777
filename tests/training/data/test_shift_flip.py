import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import ShiftFlip


def moved(image, down, right, mirrored):
    """One image (C, H, W), moved pixel by pixel."""
    _, height, width = image.shape
    result = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = width - 1 - column if mirrored else column
            i, j = row - down, source - right
            if 0 <= i < height and 0 <= j < width:
                result[:, row, column] = image[:, i, j]
    return result


def all_moves(image, shift, flip):
    offsets = range(-shift, shift + 1)
    moves = [
        (d, r, m) for d in offsets for r in offsets for m in ((False, True) if flip else (False,))
    ]
    return torch.stack([moved(image, *move) for move in moves])


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 4),
    height=st.integers(3, 6),
    width=st.integers(3, 6),
    shift=st.integers(0, 2),
    flip=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_every_image_is_one_of_its_moves(channels, height, width, shift, flip, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(5, channels, height, width, generator=generator) + 1  # no pixel is 0
    y = ShiftFlip(shift, flip)(x, generator)
    for before, after in zip(x, y, strict=True):
        assert (all_moves(before, shift, flip) == after).all((1, 2, 3)).sum() == 1


def test_moves_are_uniform_and_independent():
    # Chi-square over the 9 * 2 moves of 18,000 copies, fixed seed; false alarm 1e-3.
    image = torch.arange(1.0, 26).view(1, 5, 5)
    y = ShiftFlip(1, flip=True)(image.expand(18_000, -1, -1, -1), torch.Generator().manual_seed(3))
    moves = all_moves(image, 1, flip=True)
    counts = torch.stack([(y == move).all((1, 2, 3)).sum() for move in moves])
    assert counts.sum() == 18_000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_nothing_asked_for_is_nothing_done():
    x = torch.rand(4, 3, 5, 5)
    assert torch.equal(ShiftFlip()(x, torch.Generator()), x)


def test_the_layout_of_the_input_does_not_matter_and_the_output_is_channels_last():
    x = torch.rand(4, 3, 5, 5)
    strided = x.contiguous(memory_format=torch.channels_last)
    outputs = [ShiftFlip(2, True)(v, torch.Generator().manual_seed(1)) for v in (x, strided)]
    assert torch.equal(*outputs)
    assert outputs[0].is_contiguous(memory_format=torch.channels_last)


def test_global_generator_is_neither_read_nor_moved():
    x = torch.rand(4, 3, 5, 5)
    outputs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        outputs.append(ShiftFlip(2, True)(x, torch.Generator().manual_seed(5)))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*outputs)


def test_negative_shift_is_refused():
    with pytest.raises(InvalidArgument, match="shift must be at least 0; got -1"):
        ShiftFlip(-1)
