"""A gradient is written over only when nobody can see it."""

import copy

import pytest
import torch
from torch.autograd import Function
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from stochastic_depth.blocks import _overwritable as module
from stochastic_depth.blocks import replace_rows
from stochastic_depth.blocks._overwritable import overwritable

index = torch.tensor([0, 2, 5])


class Ask(Function):
    """The identity; remembers whether its gradient could have been written over."""

    answers: list[bool] = []  # noqa: RUF012

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        Ask.answers.append(overwritable(grad))
        return grad


@pytest.fixture(autouse=True)
def no_answers():
    Ask.answers.clear()


def ask():
    x = torch.ones(6, 3, requires_grad=True)
    return x, Ask.apply(x), Ask.answers


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


def test_a_gradient_that_nobody_keeps():
    _, h, answers = ask()
    (h * 2.0).sum().backward()
    assert answers == [True]


@pytest.mark.parametrize("keeper", KEEPERS[:-1])  # what is retained is a copy
def test_a_gradient_that_somebody_keeps(keeper):
    _, h, answers = ask()
    keeper(h, kept := [])
    (h * 2.0).sum().backward()
    assert kept
    assert answers == [False]


def test_a_gradient_that_is_asked_for():
    x, h, answers = ask()
    torch.autograd.grad((h * 2.0).sum(), [h, x])
    assert answers == [False]


def test_a_gradient_that_is_differentiated():
    x, h, answers = ask()
    torch.autograd.grad((h * h).sum(), x, create_graph=True)
    assert answers == [False]


def test_a_pytorch_that_cannot_count(monkeypatch):
    monkeypatch.setattr(module, "COUNTABLE", False)
    _, h, answers = ask()
    (h * 2.0).sum().backward()
    assert answers == [False]


def test_counted_first_in_another_mode():
    module._least_references.cache_clear()
    _, h, answers = ask()
    with torch.inference_mode():
        module._least_references()
    (h * 2.0).sum().backward()
    assert answers == [True]


def plainly(x, index, function):
    return x.index_copy(0, index, function(x[index]))


def chain(run, keeper):
    """Return the gradients of two inner tensors that somebody kept, and that of the input."""
    x = torch.linspace(-1.0, 2.0, 18).reshape(6, 3).requires_grad_()
    first = run(x * 2.0, index, torch.sin)
    second = run(first, index + torch.tensor([1, 1, 0]), torch.exp)
    for h in (first, second):
        keeper(h, kept := [])
    weights = torch.arange(18.0).reshape(6, 3)
    (run(second, index, torch.cos) * weights).sum().backward()
    seen = [item.grad if item.requires_grad else item for item in kept]
    return [*copy.deepcopy(seen), x.grad]


@pytest.mark.parametrize("keeper", KEEPERS)
def test_what_is_kept_stays_as_it_was(keeper):
    assert_close(chain(replace_rows, keeper), chain(plainly, keeper))


@pytest.mark.parametrize("swap", [False, True])
def test_two_terms_share_one_gradient(swap):
    def gradients(run):
        x = torch.linspace(-1.0, 2.0, 18).reshape(6, 3).requires_grad_()
        left, right = run(x * 2.0, index, torch.sin), run(x * 3.0, index + 0, torch.exp)
        total = right + left if swap else left + right
        (total * torch.arange(18.0).reshape(6, 3)).sum().backward()
        return x.grad

    assert_close(gradients(replace_rows), gradients(plainly))


def test_inner_gradients_that_are_asked_for():
    def gradients(run):
        x = torch.linspace(-1.0, 2.0, 18).reshape(6, 3).requires_grad_()
        first = run(x * 2.0, index, torch.sin)
        second = run(first, index, torch.exp)
        out = run(second, index, torch.cos) * torch.arange(18.0).reshape(6, 3)
        return torch.autograd.grad(out.sum(), [second, x, first])

    assert_close(gradients(replace_rows), gradients(plainly))


def test_a_gradient_for_each_of_a_batch_of_outputs():
    def gradients(run):
        x = torch.linspace(-1.0, 2.0, 18).reshape(6, 3).requires_grad_()
        out = run(run(x * 2.0, index, torch.sin), index, torch.cos).sum(1)
        return torch.autograd.grad(out, x, torch.eye(6), is_grads_batched=True)

    assert_close(gradients(replace_rows), gradients(plainly))


@pytest.mark.parametrize("reentrant", [False, True])
def test_blocks_that_are_computed_again(reentrant):
    def gradients(run):
        def blocks(x):
            return run(run(x * 2.0, index, torch.sin), index, torch.cos)

        x = torch.linspace(-1.0, 2.0, 18).reshape(6, 3).requires_grad_()
        h = checkpoint(blocks, x, use_reentrant=reentrant)
        (checkpoint(blocks, h, use_reentrant=reentrant) + h).square().sum().backward()
        return x.grad

    assert_close(gradients(replace_rows), gradients(plainly))
