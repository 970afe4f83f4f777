import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from stochastic_depth.blocks import replace_rows, take_rows

SHAPES = {
    "vector": (6,),
    "matrix": (6, 3),
    "tokens": (6, 2, 3),
    "image": (6, 2, 3, 2),
    "video": (6, 2, 2, 3, 2),
}
LAYOUTS = {"image": torch.channels_last, "video": torch.channels_last_3d}
index = torch.tensor([0, 2, 5])


def batch(shape, layout=torch.contiguous_format):
    x = torch.randn(SHAPES[shape], dtype=torch.float64)
    return x.contiguous(memory_format=layout).requires_grad_()


CASES = [(shape, torch.contiguous_format) for shape in SHAPES] + list(LAYOUTS.items())


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_against_plain_indexing(shape, layout):
    x = batch(shape, layout)
    assert torch.equal(take_rows(x, index), x[index])
    expected = x.clone()
    expected[index] = torch.sin(x[index])
    out = replace_rows(x, index, torch.sin)
    assert torch.equal(out, expected)
    weights = torch.randn_like(x)
    ours = torch.autograd.grad((out * weights).sum(), x)
    theirs = torch.autograd.grad((expected * weights).sum(), x)
    assert_close(ours, theirs)


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_gradients(shape, layout):
    x = batch(shape, layout)
    assert gradcheck(lambda v: take_rows(v, index), x)
    assert gradcheck(lambda v: replace_rows(v, index, torch.sin), x)


def test_a_batch_that_is_a_view_of_something_else():
    base = torch.randn(3, 12, 4, dtype=torch.float64, requires_grad=True)
    view = base.transpose(0, 1)[::2]  # neither dense nor at offset 0
    out = replace_rows(view, index, torch.exp)
    expected = view.clone()
    expected[index] = view[index].exp()
    assert torch.equal(out, expected)
    ours, theirs = (torch.autograd.grad(v.square().sum(), base)[0] for v in (out, expected))
    assert_close(ours, theirs)


def test_a_function_of_another_dtype_promotes_the_batch():
    x = torch.randn(6, 3, requires_grad=True)
    out = replace_rows(x, index, lambda rows: rows.double() * 2)
    assert out.dtype == torch.float64
    out.sum().backward()
    assert x.grad[:, 0].tolist() == [2, 1, 2, 1, 1, 2]


def test_upstream_gradients_are_left_as_they_are():
    x = batch("matrix")
    grad = torch.ones(6, 3, dtype=torch.float64)
    replace_rows(x, index, torch.sin).backward(grad)
    assert torch.equal(grad, torch.ones(6, 3, dtype=torch.float64))


def test_nested_and_repeated_use():
    x = batch("matrix")
    other = torch.tensor([1, 2])

    def twice(v, replace):
        v = replace(v, index, torch.sin)
        return replace(v, other, lambda rows: rows * 3) + v

    def plain(v, at, function):
        return torch.index_copy(v, 0, at, function(v[at]))

    ours, theirs = (
        torch.autograd.grad(twice(x, replace).square().sum(), x)
        for replace in (replace_rows, plain)
    )
    assert_close(ours, theirs)
