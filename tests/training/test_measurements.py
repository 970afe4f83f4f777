import pytest
import torch
from torch.nn.functional import cross_entropy

from stochastic_depth.training._measurements import (
    RunningGradient,
    RunningScore,
    mean_loss,
    wrong,
)

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(23, 5, generator=GENERATOR)
LABELS = torch.randint(5, (23,), generator=GENERATOR)


def add_batches(running: RunningScore, sizes: list[int]) -> None:
    for logits, labels in zip(LOGITS.split(sizes), LABELS.split(sizes), strict=True):
        running.add(cross_entropy(logits, labels), wrong(logits, labels))


@pytest.mark.parametrize("sizes", [[23], [10, 10, 3], [1, 22]])
def test_the_mean_is_over_images_and_not_over_batches(sizes):
    running = RunningScore()
    add_batches(running, sizes)
    loss, error = running.read()
    assert loss == pytest.approx(float(cross_entropy(LOGITS, LABELS)))
    missed = sum(int(row.argmax()) != int(label) for row, label in zip(LOGITS, LABELS, strict=True))
    assert error == pytest.approx(100 * missed / 23)


def test_reading_begins_anew():
    running = RunningScore()
    add_batches(running, [23])
    first = running.read()
    add_batches(running, [23])
    assert running.read() == first


def test_the_state_is_that_of_the_middle_of_an_epoch():
    whole, first, second = RunningScore(), RunningScore(), RunningScore()
    add_batches(whole, [10, 13])
    first.add(cross_entropy(LOGITS[:10], LABELS[:10]), wrong(LOGITS[:10], LABELS[:10]))
    second.load_state_dict(first.state_dict())
    second.add(cross_entropy(LOGITS[10:], LABELS[10:]), wrong(LOGITS[10:], LABELS[10:]))
    assert second.read() == whole.read()


def test_no_graph_is_kept():
    weight = torch.zeros(5, requires_grad=True)
    running = RunningScore()
    running.add(cross_entropy(LOGITS + weight, LABELS), wrong(LOGITS + weight, LABELS))
    assert not running.losses[0].requires_grad


def test_gradient_is_the_mean_magnitude_over_the_steps_that_had_one():
    weight = torch.nn.Parameter(torch.zeros(2, 3))
    running = RunningGradient(weight)
    assert running.read() is None
    running.add()  # no gradient yet
    for scale in (1.0, -3.0):
        weight.grad = scale * torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]])
        running.add()
    assert running.read() == pytest.approx((1 + 3) / 2 * (1 + 2 + 3) / 6)
    assert running.read() is None


def test_gradient_of_a_network_without_blocks():
    running = RunningGradient(None)
    running.add()
    assert running.read() is None


def test_loss_and_error_of_sequences_are_means_over_all_their_tokens():
    logits = torch.randn(3, 4, 5, generator=GENERATOR, dtype=torch.float64)
    targets = torch.randint(5, (3, 4), generator=GENERATOR)
    likelihood = logits.exp() / logits.exp().sum(-1, keepdim=True)
    pairs = [(i, t) for i in range(3) for t in range(4)]
    losses = [-float(likelihood[i, t, targets[i, t]].log()) for i, t in pairs]
    assert float(mean_loss(logits, targets)) == pytest.approx(sum(losses) / 12)
    missed = [int(logits[i, t].argmax()) != int(targets[i, t]) for i, t in pairs]
    running = RunningScore()
    for rows in ([0, 1], [2]):
        running.add(mean_loss(logits[rows], targets[rows]), wrong(logits[rows], targets[rows]))
    score = running.read()
    assert score == pytest.approx((sum(losses) / 12, 100 * sum(missed) / 12))
