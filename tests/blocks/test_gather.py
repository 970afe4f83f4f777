import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

import stochastic_depth as sd
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


def test_a_batch_that_starts_inside_its_storage():
    x = torch.randn(9, 3)[3:]
    assert torch.equal(take_rows(x, index), x[index])
    assert torch.equal(replace_rows(x, index, torch.sin)[index], x[index].sin())


@pytest.mark.parametrize("rows", [[0], [3], [0, 1, 2, 3, 4, 5]])
def test_one_sample_and_all_samples(rows):
    x, at = batch("image"), torch.tensor(rows)
    out = replace_rows(x, at, torch.sin)
    expected = torch.index_copy(x, 0, at, torch.sin(x[at]))
    assert torch.equal(out, expected)
    ours, theirs = (torch.autograd.grad(v.square().sum(), x) for v in (out, expected))
    assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(6, 0), (6, 2, 0)])
def test_samples_without_elements(shape):
    x = torch.ones(shape, requires_grad=True)
    for out in (take_rows(x, index), replace_rows(x, index, torch.sin)):
        out.sum().backward()
        assert x.grad.shape == shape


@pytest.mark.parametrize("shape", LAYOUTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_activations_and_gradients_stay_in_the_layout_of_the_batch(shape, reverse):
    # The gradient arrives in the other layout; `seen` gets it as it is inside and below.
    layout, other = LAYOUTS[shape], torch.contiguous_format
    layout, other = (other, layout) if reverse else (layout, other)
    x, seen = batch(shape, layout), []
    stream = x * 1
    stream.register_hook(lambda grad: seen.append(grad))

    def function(rows):
        out = rows * 2
        out.register_hook(lambda grad: seen.append(grad))
        seen.extend([rows, out])
        return out

    for out in (replace_rows(stream, index, function), take_rows(stream, index)):
        grad = torch.ones_like(out).contiguous(memory_format=other)
        out.backward(grad, retain_graph=True)
        seen.append(out)
    assert len(seen) == 7
    assert all(tensor.is_contiguous(memory_format=layout) for tensor in seen)


def test_a_graph_that_is_kept_gives_the_same_gradients_again():
    x = batch("tokens")
    out = replace_rows(x, index, torch.exp).square().sum()
    first, second = (torch.autograd.grad(out, x, retain_graph=True) for _ in range(2))
    assert torch.equal(first[0], second[0])


def test_a_function_that_cuts_the_graph_passes_no_gradient():
    x = batch("matrix")
    replace_rows(x, index, lambda rows: rows.detach()).sum().backward()
    assert x.grad[:, 0].tolist() == [0, 1, 0, 1, 1, 0]


def test_a_batch_without_gradient_reaches_the_parameters():
    x, layer = torch.randn(6, 3), torch.nn.Linear(3, 3)
    replace_rows(x, index, layer).sum().backward()
    assert_close(layer.weight.grad, x[index].sum(0).expand(3, 3))


def test_inference_mode():
    with torch.inference_mode():
        x = torch.randn(6, 3)
        assert torch.equal(replace_rows(x, index, torch.sin)[index], x[index].sin())


def test_a_function_that_changes_the_shape_is_refused():
    with pytest.raises(sd.InvalidArgument, match=r"function\(rows\) must be of shape \(3, 2, 3\)"):
        replace_rows(batch("tokens"), index, lambda rows: rows.transpose(1, 2))
