import copy
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import grad, jvp, vmap
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

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


def keep_by_hook(h, kept):
    h.register_hook(lambda grad: kept.append(grad))


def keep_a_part(h, kept):
    h.register_hook(lambda grad: kept.append(grad[:]))


def keep_without_graph(h, kept):
    h.register_hook(lambda grad: kept.append(grad.detach()))


def keep_in_numpy(h, kept):
    h.register_hook(lambda grad: kept.append(torch.from_numpy(grad.numpy())))


def keep_before_its_function(h, kept):
    h.grad_fn.register_prehook(lambda grads: kept.append(*grads))


def keep_by_retaining(h, kept):
    h.retain_grad()
    kept.append(h)


KEEPERS = [
    keep_by_hook,
    keep_a_part,
    keep_without_graph,
    keep_in_numpy,
    keep_before_its_function,
    keep_by_retaining,
]


def plainly(x, index, function):
    return x.index_copy(0, index, function(x[index]))


def numbers():
    return torch.linspace(-1.0, 2.0, 18).reshape(6, 3)


def chain(run, keeper):
    """Return the gradients of two inner tensors that somebody kept, and that of the input."""
    x = numbers().requires_grad_()
    first = run(x * 2.0, index, torch.sin)
    second = run(first, index + torch.tensor([1, 1, 0]), torch.exp)
    for h in (first, second):
        keeper(h, kept := [])
    (run(second, index, torch.cos) * torch.arange(18.0).reshape(6, 3)).sum().backward()
    seen = [item.grad if item.requires_grad else item for item in kept]
    return [*copy.deepcopy(seen), x.grad]


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_gradient_that_somebody_keeps_stays_as_it_was(keeper):
    assert_close(chain(replace_rows, keeper), chain(plainly, keeper))


@pytest.mark.parametrize("swap", [False, True])
def test_two_terms_share_one_gradient(swap):
    def gradients(run):
        x = numbers().requires_grad_()
        left, right = run(x * 2.0, index, torch.sin), run(x * 3.0, index + 0, torch.exp)
        total = right + left if swap else left + right
        (total * torch.arange(18.0).reshape(6, 3)).sum().backward()
        return x.grad

    assert_close(gradients(replace_rows), gradients(plainly))


def test_inner_gradients_that_are_asked_for():
    def gradients(run):
        x = numbers().requires_grad_()
        first = run(x * 2.0, index, torch.sin)
        second = run(first, index, torch.exp)
        out = run(second, index, torch.cos) * torch.arange(18.0).reshape(6, 3)
        return torch.autograd.grad(out.sum(), [second, x, first])

    assert_close(gradients(replace_rows), gradients(plainly))


@pytest.mark.parametrize("reentrant", [False, True])
def test_blocks_that_are_computed_again(reentrant):
    def gradients(run):
        def blocks(x):
            return run(run(x * 2.0, index, torch.sin), index, torch.cos)

        x = numbers().requires_grad_()
        h = checkpoint(blocks, x, use_reentrant=reentrant)
        (checkpoint(blocks, h, use_reentrant=reentrant) + h).square().sum().backward()
        return x.grad

    assert_close(gradients(replace_rows), gradients(plainly))


def gathered(run, take):
    """A function of a batch that splits, merges, nests, and takes rows."""

    def function(x):
        h = run(x * 2.0, index, torch.sin)
        h = run(h, torch.tensor([1, 2]), lambda rows: run(rows, torch.tensor([1]), torch.exp) * 3)
        return h * h + take(h, torch.tensor([0, 3, 5])).sum(0)

    return function


ours, theirs = gathered(replace_rows, take_rows), gathered(plainly, lambda x, at: x[at])

# Forward mode makes torch script its decompositions.
forward_mode = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


@pytest.mark.parametrize(("shape", "layout"), CASES)
@forward_mode
def test_forward_mode_is_a_finite_difference(shape, layout):
    x = batch(shape, layout).detach()
    direction = torch.randn_like(x)
    out, tangent = jvp(ours, (x,), (direction,))
    assert_close(out, theirs(x))
    step = 1e-6
    difference = (theirs(x + step * direction) - theirs(x - step * direction)) / (2 * step)
    assert_close(tangent, difference, rtol=1e-6, atol=1e-7)
    assert_close(tangent, jvp(theirs, (x,), (direction,))[1])


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_transforms_of_the_gradient(shape, layout):
    x = batch(shape, layout).detach()
    many = torch.stack([x, x.flip(0), 2 * x])

    def loss(function, x):
        return function(x).pow(3).sum()

    expected = torch.stack([torch.func.grad(partial(loss, theirs))(x) for x in many])
    assert_close(vmap(ours)(many), torch.stack([theirs(x) for x in many]))
    assert_close(vmap(grad(partial(loss, ours)))(many), expected)
    total = grad(lambda many: vmap(partial(loss, ours))(many).sum())(many)
    assert_close(total, expected)
    last = many.movedim(0, -1)  # the dimension of vmap stands elsewhere, in and out
    assert_close(
        vmap(grad(partial(loss, ours)), in_dims=-1, out_dims=-1)(last).movedim(-1, 0), expected
    )
    assert_close(vmap(vmap(ours))(many[None]), vmap(ours)(many)[None])


@forward_mode
def test_second_derivatives_by_transforms():
    x = torch.randn(6, 2, dtype=torch.float64)

    def loss(function, x):
        return function(x).pow(3).sum()

    expected = torch.autograd.functional.hessian(partial(loss, theirs), x)
    assert_close(torch.func.hessian(partial(loss, ours))(x), expected)
    assert_close(torch.func.jacrev(torch.func.jacrev(partial(loss, ours)))(x), expected)
    assert_close(torch.autograd.functional.hessian(partial(loss, ours), x), expected)


def test_vmap_over_the_function_alone():
    x, scales = torch.randn(6, 2, dtype=torch.float64), torch.tensor([1.0, 2.0, -1.0]).double()

    def loss(run, scale):
        return run(x, index, lambda rows: scale * rows.sin()).square().sum()

    expected = torch.stack([grad(partial(loss, plainly))(scale) for scale in scales])
    assert_close(vmap(grad(partial(loss, replace_rows)))(scales), expected)


def test_positions_that_differ_under_vmap_are_refused():
    x, at = torch.randn(2, 6, 3), torch.tensor([[0, 1], [2, 3]])
    for function in (take_rows, lambda x, at: replace_rows(x, at, torch.sin)):
        with pytest.raises(sd.Unsupported, match="index must be the same for all"):
            vmap(function)(x, at)


@pytest.mark.parametrize(("shape", "layout"), CASES)
def test_a_gradient_for_each_of_a_batch_of_outputs(shape, layout):
    def gradients(function):
        x = batch(shape, layout)
        x.data = torch.linspace(-1, 1, x.numel()).double().view(x.shape)
        x.data = x.data.contiguous(memory_format=layout)
        out = function(x).flatten(1).sum(1) if x.ndim > 1 else function(x)
        return torch.autograd.grad(out, x, torch.eye(6).double(), is_grads_batched=True)

    assert_close(gradients(ours), gradients(theirs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("start", range(5))
def test_batches_and_rows_that_start_anywhere_in_their_memory(dtype, start):
    def shifted(values):
        memory = torch.zeros(values.numel() + start, dtype=dtype)
        view = memory[start:].view(values.shape)
        view.copy_(values)
        return view

    x = shifted(torch.arange(48).reshape(6, 8))
    expected = x.clone()
    expected[index] = -x[index]
    assert torch.equal(take_rows(x, index), x[index])
    # The copy of the batch is aligned to 16 bytes, whatever the rows are.
    assert torch.equal(replace_rows(x, index, lambda rows: shifted(-rows)), expected)


@pytest.mark.parametrize("rows", [[], [0, 1, 2]])
def test_no_rows_and_no_batch(rows):
    at = torch.tensor(rows, dtype=torch.int64)
    x = torch.randn(len(rows), 2, 3, 3, requires_grad=True)
    for out in (take_rows(x, at), replace_rows(x, at, torch.sin)):
        assert out.shape == x.shape
        out.sum().backward()
    x = torch.randn(6, 2, 3, 3, requires_grad=True)
    nobody = torch.tensor([], dtype=torch.int64)
    assert torch.equal(replace_rows(x, nobody, torch.sin), x)
    take_rows(x, nobody).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


# Dynamo looks at `.grad` of the stream, which is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_a_compiler_sees_the_whole():
    x = batch("image")
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    assert_close(compiled(x), theirs(x))
    grads = [torch.autograd.grad(f(x).pow(3).sum(), x) for f in (compiled, theirs)]
    assert_close(*grads)
