"""One run from end to end, against a loop of plain PyTorch."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

import stochastic_depth as sd
from stochastic_depth.training import load, prepare, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._loop import training_batches
from stochastic_depth.training.data import ImageSet
from stochastic_depth.training.record import COLUMNS


def rows(run: Path, table: str = "metrics.csv") -> list[dict[str, str]]:
    return list(csv.DictReader((run / table).read_text().splitlines()))


def weights(run: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return read(run / "checkpoints" / name)["model"]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def bare_loop(config):
    """Train without the program: the model, the law and the batches, and a for loop."""
    prepared = prepare(config)
    model, handle = prepared.model, prepared.handle
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, **config.optimizer.init_args)
    batches = training_batches(prepared.splits.train, config)
    step, gates, first = 0, [], []
    weight = model.blocks[0].branch[0].weight
    for epoch in range(config.epochs):
        for index in range(len(batches)):
            images, labels = batches.batch(epoch, index)
            if handle is not None:
                handle.step = step
            optimizer.param_groups[0]["lr"] = prepared.rate(step)
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if handle is not None:
                gates.append((handle.gates != 0).tolist())
            first.append(weight.grad is not None and float(weight.grad.abs().mean()))
            step += 1
    return model, gates, first


SETTINGS = {
    "Huang": {},
    "constant": {"depth__enabled": False},
    "zero gradients": {"depth__dropped_grads": "zero", "depth__last": 0.3},
    "per sample": {"depth__per": "sample", "depth__rescale": "train"},
    "fixed depth": {"depth__law": "fixed-depth"},
    "AdamW": {"optimizer": "AdamW"},
    "augmented": {"data__flip": True, "data__shift": 1},
    "contiguous": {"channels_last": False},
}


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "AdamW"])
def test_the_program_is_the_bare_loop_to_the_bit(name, config, run):
    settings = config(**SETTINGS[name])
    train(settings, run, progress=False)
    model, gates, _ = bare_loop(settings)
    assert_same(weights(run), model.state_dict())
    if settings.depth.enabled and settings.depth.per == "batch":
        assert np.load(run / "gates.npy").tolist() == gates


def test_a_run_is_a_function_of_its_configuration(config, tmp_path):
    for name in ("first", "second"):
        torch.rand(3)  # what the process drew before does not matter
        train(config(), tmp_path / name, progress=False)
    assert_same(weights(tmp_path / "first"), weights(tmp_path / "second"))
    train(config(seed=1), tmp_path / "third", progress=False)
    assert not torch.equal(
        weights(tmp_path / "first")["head.weight"], weights(tmp_path / "third")["head.weight"]
    )


def test_both_variants_start_from_the_same_weights(config):
    stochastic, constant = (prepare(config(depth__enabled=enabled)) for enabled in (True, False))
    assert_same(stochastic.model.state_dict(), constant.model.state_dict())


@pytest.mark.parametrize("dropped_grads", ["none", "zero"])
def test_rows(dropped_grads, config, run):
    settings = config(depth__dropped_grads=dropped_grads)
    train(settings, run, progress=False)
    table, (_, gates, gradients) = rows(run), bare_loop(settings)
    assert tuple(table[0]) == tuple(COLUMNS)
    assert [(row["epoch"], row["step"]) for row in table] == [
        ("1", "4"), ("2", "8"), ("3", "12"), ("4", "16"),
    ]  # fmt: skip
    evaluated = [row["test_error"] != "" for row in table]
    assert evaluated == [False, True, False, True]
    assert [float(row["lr"]) for row in table] == pytest.approx(
        [settings.learning_rate.at(step, 4, 4) for step in (3, 7, 11, 15)]
    )
    for epoch, row in enumerate(table):
        alive = np.array(gates[4 * epoch : 4 * epoch + 4])
        assert float(row["realised_depth"]) == pytest.approx(alive.sum(1).mean())
        assert float(row["expected_depth"]) == pytest.approx((3 * 6 - 1) / 4)
        assert 0 < float(row["realised_cost"]) <= 1
        ran = [g for t, g in enumerate(gradients) if t // 4 == epoch and gates[t][0]]
        assert float(row["gradient_first_convolution"]) == pytest.approx(np.mean(ran), rel=1e-5)


def test_the_gradient_is_measured_where_the_first_block_ran(config, run):
    """A dropped block has zeros for a gradient here; they would lower the mean."""
    settings = config(depth__schedule="uniform", depth__last=0.4, depth__dropped_grads="zero")
    train(settings, run, progress=False)
    _, gates, gradients = bare_loop(settings)
    ran = [[g for t, g in enumerate(gradients) if t // 4 == e and gates[t][0]] for e in range(4)]
    assert 0 < sum(map(len, ran)) < 16
    measured = [row["gradient_first_convolution"] for row in rows(run)]
    for mean, values in zip(measured, ran, strict=True):
        assert mean == "" if not values else float(mean) == pytest.approx(np.mean(values), rel=1e-5)


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_and_weights_lie_as_the_configuration_says(channels_last, config):
    settings = config(channels_last=channels_last)
    images = ImageSet(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), torch.arange(10))
    batch, _ = training_batches(images, settings).batch(0, 0)
    weight = prepare(settings).model.blocks[1].branch[0].weight
    for tensor in (batch, weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) is channels_last


class HostReads(TorchDispatchMode):
    """Counts the times that the value of a tensor is asked for."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device(config, tmp_path):
    """Twice the steps of an epoch, and not one more tensor is read."""
    counts = []
    for size in (25, 13):
        settings = config(batch_size=size, depth__enabled=False, evaluation_batch_size=100)
        with HostReads() as reads:
            train(settings, tmp_path / str(size), progress=False)
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0


def test_evaluations_are_of_the_network_as_it_is_saved(config, run):
    settings = config()
    record = train(settings, run, progress=False)
    prepared = prepare(settings)
    prepared.model.load_state_dict(weights(run))
    prepared.model.eval()
    errors, losses = {}, {}
    for name in ("train", "validation", "test"):
        images = getattr(prepared.splits, name)
        with torch.no_grad():
            logits = prepared.model(images.inputs(torch.arange(len(images))))
        errors[name] = 100 * float((logits.argmax(1) != images.labels).float().mean())
        losses[name] = float(cross_entropy(logits, images.labels))
    last = rows(run)[-1]
    for name in ("validation", "test"):
        assert float(last[f"{name}_error"]) == pytest.approx(errors[name])
        assert float(last[f"{name}_loss"]) == pytest.approx(losses[name], rel=1e-5)
    summary = record["summary"]
    assert summary["test_error_last"] == pytest.approx(errors["test"])
    assert summary["train_error_final"] == pytest.approx(errors["train"])
    assert summary["train_error_running"] == float(last["train_error"])


def test_the_best_epoch_is_that_of_the_lowest_validation_error(config, run):
    record = train(config(epochs=8, evaluate_every=1), run, progress=False)
    table = rows(run)
    best = min(table, key=lambda row: float(row["validation_error"]))
    summary = record["summary"]
    assert summary["best_epoch"] == int(best["epoch"])
    assert summary["best_validation_error"] == float(best["validation_error"])
    assert summary["test_error_at_best"] == float(best["test_error"])
    assert read(run / "checkpoints" / "best.ckpt")["step"] == int(best["step"])


def test_without_validation_images_nothing_is_best(config, run):
    summary = train(config(data__validation=0), run, progress=False)["summary"]
    names = ("best_epoch", "best_validation_error", "test_error_at_best")
    assert [summary[name] for name in names] == [None, None, None]
    assert not (run / "checkpoints" / "best.ckpt").exists()
    assert rows(run)[-1]["validation_error"] == ""


def test_the_record(config, run):
    record = train(config(), run, variant="ours", command="sdepth train", progress=False)
    assert record == json.loads((run / "run.json").read_text())
    assert (record["name"], record["variant"], record["seed"]) == ("demo_digits", "ours", 0)
    assert (record["status"], record["error"]) == ("finished", None)
    assert record["data"] == {
        "name": "digits", "train": 100, "validation": 40, "test": 60, "classes": 10,
        "notes": ["held in memory: 12.5 kiB of pixels, decoded once"], "skipped": [],
    }  # fmt: skip
    survival = [block["survival"] for block in record["blocks"]]
    assert survival == pytest.approx([1 - block / 12 for block in range(1, 7)])
    assert [block["path"] for block in record["blocks"]] == [f"blocks.{i}" for i in range(6)]
    assert record["started"] <= record["finished"]
    gates = np.load(run / "gates.npy")
    assert record["summary"]["realised_depth"] == pytest.approx(gates.sum(1).mean())
    assert record["summary"]["live_share"] == pytest.approx(gates.mean())
    assert record["summary"]["seconds"] == pytest.approx(
        sum(float(row["seconds"]) for row in rows(run))
    )


def test_constant_depth(config, run):
    record = train(config(depth__enabled=False), run, progress=False)
    assert not (run / "gates.npy").exists()
    assert {block["survival"] for block in record["blocks"]} == {1.0}
    assert (record["summary"]["live_share"], record["summary"]["live_cost"]) == (1.0, 1.0)
    assert {row["realised_depth"] for row in rows(run)} == {"6.0"}
    assert record["variant"] == "constant depth"


def test_a_curriculum_moves_the_probabilities_at_every_step(config, run):
    settings = config(depth__curriculum="warmup", depth__until=0.5, depth__last=0.2)
    train(settings, run, progress=False)
    full = sd.schedules.linear(0.2)(6)
    gates = np.load(run / "gates.npy")
    for step in range(16):
        p = sd.curricula.warmup(full, 0.5)(step / 16)
        law = sd.gates.Bernoulli(p, rescale="test")
        drawn = sd.gates.draw(law, "batch", None, generator=sd.gates.stream(0, step))
        assert (drawn != 0).tolist() == gates[step].astype(bool).tolist(), step
    depths = [float(row["expected_depth"]) for row in rows(run)]
    assert depths[0] > depths[1] > depths[2] == pytest.approx(float(full.sum()))
    assert depths[2] == depths[3]


def test_evaluation_within_an_epoch(config, run):
    record = train(config(evaluate_every_steps=3, evaluate_every=4), run, progress=False)
    table = rows(run, "evaluations.csv")
    assert [int(row["step"]) for row in table] == [3, 6, 9, 12, 15, 16]
    assert [row["test_error"] != "" for row in rows(run)] == [True, True, True, True]
    best = min(table, key=lambda row: float(row["validation_error"]))
    assert record["summary"]["test_error_at_best"] == float(best["test_error"])
    assert read(run / "checkpoints" / "best.ckpt")["step"] == int(best["step"])


def test_dropped_blocks_move_only_under_zero_gradients(config, tmp_path):
    """A block that never runs: with `zero`, weight decay shrinks it; with `none`, nothing does."""
    never = {
        "depth__schedule": "fixed", "depth__last": None,
        "depth__probabilities": [1.0, 1.0, 0.0, 1.0, 1.0, 1.0],
        "optimizer__init_args__weight_decay": 0.01, "learning_rate__initial": 0.1,
    }  # fmt: skip
    start = prepare(config(**never)).model.state_dict()["blocks.2.branch.0.weight"].clone()
    ends = {}
    for kind in ("none", "zero"):
        train(config(**never, depth__dropped_grads=kind), tmp_path / kind, progress=False)
        ends[kind] = weights(tmp_path / kind)["blocks.2.branch.0.weight"]
    assert torch.equal(ends["none"], start)
    shrunk = (ends["zero"] / start).flatten()
    assert 0.9 < float(shrunk.min()) <= float(shrunk.max()) < 1
    assert torch.allclose(shrunk, shrunk[0].expand_as(shrunk), rtol=1e-4)


def test_bfloat16(config, run):
    train(config(precision="bf16"), run, progress=False)
    assert all(math.isfinite(float(row["train_loss"])) for row in rows(run))
    assert weights(run)["head.weight"].dtype == torch.float32


def test_a_foreign_network(config, run):
    settings = config(
        model={"class_path": "timm.create_model", "init_args": {
            "model_name": "vit_tiny_patch16_224"}, "dict_kwargs": {
            "img_size": 16, "patch_size": 8, "in_chans": 1, "embed_dim": 24, "num_heads": 3,
            "depth": 2,
        }},
        data__image_size=16, epochs=2, channels_last=False,
    )  # fmt: skip
    record = train(settings, run, progress=False)
    assert [block["kind"] for block in record["blocks"]] == ["Block", "Block"]
    assert float(rows(run)[-1]["gradient_first_convolution"]) > 0


def test_a_logger_gets_every_row(config, run):
    train(config(loggers=[{"class_path": "lightning.pytorch.loggers.CSVLogger"}]), run,
          progress=False)  # fmt: skip
    (path,) = run.rglob("lightning_logs/**/metrics.csv")
    logged = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["train_loss"] for row in logged] == [row["train_loss"] for row in rows(run)]


def test_tensorboard_is_written_by_default(run):
    small = {"model.init_args.depth": 8, "model.init_args.width": 4, "data.test_limit": 60}
    train(load("demo_digits", small | {"epochs": 1, "threads": 1}), run, progress=False)
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
