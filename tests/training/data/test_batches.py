import logging

import lightning
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import Batches, ImageSet, ShiftFlip

from .conftest import random_images


def image_set(number=10):
    images = torch.from_numpy(random_images(number)).permute(0, 3, 1, 2)
    return ImageSet(images, torch.arange(number))


def batches(seed=3, number=10, **options):
    return Batches(image_set(number), 4, seed, augmentation=ShiftFlip(2, True), **options)


def assert_same(left, right):
    assert len(left) == len(right)
    assert all(
        torch.equal(a, b)
        for p, q in zip(left, right, strict=True)
        for a, b in zip(p, q, strict=True)
    )


def labels(some_batches):
    return torch.cat([y for _, y in some_batches]).tolist()


@given(number=st.integers(0, 40), size=st.integers(1, 12), seed=st.integers(0, 2**40))
def test_an_epoch_is_every_image_once_in_full_batches_and_a_rest(number, size, seed):
    made = list(Batches(image_set(number), size, seed)) if number else []
    assert sorted(labels(made) if made else []) == list(range(number))
    assert [len(y) for _, y in made] == [size] * (number // size) + [number % size] * bool(
        number % size
    )


def test_an_empty_set_has_no_batches():
    empty = image_set().subset(torch.arange(0))
    assert len(Batches(empty, 4, 0)) == 0
    assert list(Batches(empty, 4, 0)) == []


def test_a_batch_depends_on_seed_epoch_and_index_alone():
    walked = batches()
    walk = [list(walked) for _ in range(3)]
    torch.manual_seed(99)
    before = torch.get_rng_state()
    for epoch in (2, 0, 1):
        for index in (2, 0, 1):
            assert_same([batches().batch(epoch, index)], [walk[epoch][index]])
    assert torch.equal(torch.get_rng_state(), before)


def test_epochs_seeds_and_batches_differ():
    orders = [
        tuple(batches(seed, number=40).order(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)
    ]
    assert len(set(orders)) == 4
    # The same image in every place: what differs is the draw alone.
    same = ImageSet(image_set().images[:1].expand(8, -1, -1, -1), torch.zeros(8).long())
    augmented = [Batches(same, 4, seed, augmentation=ShiftFlip(2, True)) for seed in (0, 1)]
    keys = ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    draws = [augmented[seed].batch(epoch, index)[0] for seed, epoch, index in keys]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 4


def test_unshuffled_batches_keep_the_order_and_are_the_inputs():
    images = image_set()
    made = list(Batches(images, 4, 0, shuffle=False))
    assert labels(made) == list(range(10))
    assert torch.equal(torch.cat([x for x, _ in made]), images.inputs(torch.arange(10)))


@pytest.mark.parametrize("channels_last", [False, True])
def test_memory_order_and_types(channels_last):
    x, y = batches(channels_last=channels_last).batch(0, 0)
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    assert x.is_contiguous(memory_format=wanted)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("done", range(7))
def test_resuming_gives_exactly_the_remaining_batches(done):
    whole = batches()
    everything = [batch for _ in range(3) for batch in whole]
    interrupted, states = batches(), []
    for _ in range(3):
        for _ in interrupted:
            states.append(interrupted.state_dict())  # as a checkpoint in the training step
    resumed = batches()
    resumed.load_state_dict(states[done])
    rest = [batch for _ in range(3 - resumed.epoch) for batch in resumed]
    assert_same(rest, everything[done + 1 :])


@given(number=st.integers(6, 40), size=st.integers(3, 12), world=st.integers(1, 3))
def test_processes_share_out_what_one_alone_would_have(number, size, world):
    assume((number % size or size) >= world)
    whole = Batches(image_set(number), size, 5)
    shares = [Batches(image_set(number), size, 5, rank=r, world=world) for r in range(world)]
    for epoch in range(2):
        for index in range(len(whole)):
            parts = [share.batch(epoch, index) for share in shares]
            assert [len(y) for _, y in parts] == shares[0].sizes(index)
            assert max(shares[0].sizes(index)) - min(shares[0].sizes(index)) <= 1
            x, y = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
            assert_same([(x, y)], [whole.batch(epoch, index)])


def test_each_process_augments_for_itself():
    same = ImageSet(image_set().images[:1].expand(12, -1, -1, -1), torch.zeros(12).long())
    draws = {
        (rank, world): Batches(
            same, 12, 0, augmentation=ShiftFlip(2, True), rank=rank, world=world
        ).batch(0, 0)[0][:4]
        for rank, world in ((0, 1), (0, 2), (1, 2), (1, 3))
    }
    assert len({tuple(draw.flatten().tolist()) for draw in draws.values()}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": 3}, "processes must be at most 2, the examples of the smallest batch; got 3"),
        ({"rank": 2, "world": 2}, "rank must be one of 0, 1"),
        ({"world": 0}, "world must be at least 1"),
    ],
)
def test_shares_that_are_refused(options, message):
    with pytest.raises(InvalidArgument, match=message):
        batches(**options)


def test_breaking_off_starts_the_same_epoch_anew():
    iterated = batches()
    first = next(iter(iterated))
    assert_same([next(iter(iterated))], [first])
    assert len(list(iterated)) == 3
    assert iterated.epoch == 1


def test_set_epoch_keeps_a_loaded_place_of_that_epoch_and_drops_any_other():
    resumed = batches()
    resumed.load_state_dict({"epoch": 1, "batch": 2})
    resumed.set_epoch(1)
    assert_same(list(resumed), [batches().batch(1, 2)])
    resumed.load_state_dict({"epoch": 1, "batch": 2})
    resumed.set_epoch(5)
    assert_same(list(resumed), [batches().batch(5, index) for index in range(3)])


class Recorder(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch, index):
        x, y = batch
        self.seen.append((self.current_epoch, index, y.tolist()))
        return self.layer(x.mean((1, 2, 3))[:, None]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loggers and workers
@pytest.mark.parametrize("step", [2, 3, 4])
def test_lightning_resumes_where_it_stopped(tmp_path, step):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    def seen(checkpoint=None):
        save = ModelCheckpoint(
            tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, save_on_train_epoch_end=False
        )
        module = Recorder()
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(accelerator="cpu", max_epochs=2, callbacks=[save], **quiet)
        trainer.fit(module, batches(), ckpt_path=checkpoint, weights_only=False)
        return module.seen

    everything = seen()
    assert len(everything) == 6
    assert seen(tmp_path / f"step={step}.ckpt") == everything[step:]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Batches(image_set(), 0, 0), "batch_size must be at least 1"),
        (lambda: Batches(image_set(), 4, -1), "seed must be at least 0"),
        (lambda: batches().batch(0, 3), "index must be of one of the 3 batches; got 3"),
        (lambda: batches().set_epoch(-1), "epoch must be at least 0"),
        (
            lambda: batches().load_state_dict({"epoch": 0, "batch": 3}),
            "one of the 3 batches; got 3",
        ),
    ],
)
def test_refuses_what_is_out_of_range(call, message):
    with pytest.raises(InvalidArgument, match=message):
        call()
